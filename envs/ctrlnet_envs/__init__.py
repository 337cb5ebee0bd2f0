"""ctrlnet's own environments, plug-ins as a stranger's would be: they import ctrlnet's public names only."""
