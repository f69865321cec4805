"""What a training program tells Trainyard, and asks it.

    import trainyard

    start = trainyard.resume_step() or 0
    for step in range(start, steps):
        ...
        trainyard.report(step, accuracy=0.93, loss=0.21)
        if step % 10 == 0:
            path = os.path.join(trainyard.checkpoint_dir(), f"step_{step}")
            ...                                     # write files below path
            trainyard.save_checkpoint(step, path)
        if trainyard.should_stop():
            break

Needs nothing but the standard library, on Python 3.8 or newer. Nothing has to be installed: jobs
find the module. Outside a job every call still works, sends nothing and says so once on stderr. All
functions may be called from any thread, and in processes forked from the one that imported the
module.
"""
from trainyard._reporter import (
    checkpoint_dir,
    model_dir,
    report,
    resume_step,
    save_checkpoint,
    should_stop,
)

__all__ = [
    "checkpoint_dir",
    "model_dir",
    "report",
    "resume_step",
    "save_checkpoint",
    "should_stop",
]
