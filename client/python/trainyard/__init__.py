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
module. trainyard.Study drives a study from outside; see trainyard.study.
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
    "Study",
    "checkpoint_dir",
    "model_dir",
    "report",
    "resume_step",
    "save_checkpoint",
    "should_stop",
]


def __getattr__(name):
    """Study is read when it is first used: training programs need none of it."""
    if name != "Study":
        raise AttributeError(f"module 'trainyard' has no attribute {name!r}")
    from trainyard.study import Study

    return Study
