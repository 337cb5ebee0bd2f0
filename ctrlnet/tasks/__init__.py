"""Tasks: environments, their recipes, and what is made of them."""

from ctrlnet.tasks.environment import Environment
from ctrlnet.tasks.environment_task import EnvironmentTask
from ctrlnet.tasks.fitting import train
from ctrlnet.tasks.rebuilding import rebuild
from ctrlnet.tasks.recipe import Recipe
from ctrlnet.tasks.resuming import resume, run_of
from ctrlnet.tasks.task import Statement, Task, Trained
from ctrlnet.tasks.whole import Whole

__all__ = [
    "Environment",
    "EnvironmentTask",
    "Recipe",
    "Statement",
    "Task",
    "Trained",
    "Whole",
    "rebuild",
    "resume",
    "run_of",
    "train",
]
