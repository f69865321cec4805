"""A classifier of iris flowers, as a package that a job runs with `python3 -m trainer.task`."""
