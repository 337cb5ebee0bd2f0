"""First-party plug-ins of ctrlnet, found by entry point as anyone's would be."""
