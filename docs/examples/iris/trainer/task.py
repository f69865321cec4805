"""Trains the iris classifier, reports its accuracy and saves the model.

    python3 -m trainer.task --train_steps 100

Knows nothing of Trainyard: it takes arguments, writes the metric file of the hypertune library when
there is one, and saves to the folder it is told.
"""
import argparse
import os

import joblib

from trainer.model import IrisModel, load

DATA = os.path.join(os.path.dirname(os.path.abspath(__file__)), "data")


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--train_file", default=os.path.join(DATA, "train.csv"))
    parser.add_argument("--test_file", default=os.path.join(DATA, "test.csv"))
    parser.add_argument("--train_steps", type=int, default=500)
    parser.add_argument("--batch_size", type=int, default=16)
    parser.add_argument("--learning_rate", type=float, default=0.02)
    parser.add_argument("--regularization", type=float, default=1e-4)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--outdir", default=None,
                        help="where the model goes; default AIP_MODEL_DIR, then the job dir")
    parser.add_argument("--job-dir", default=None, help="the folder of the job's outputs")
    arguments = parser.parse_args()
    if arguments.train_steps < 1 or arguments.batch_size < 1:
        parser.error("--train_steps and --batch_size are at least 1")
    return arguments


def make_reporter():
    """A function of (step, accuracy) that writes the metric file, or nothing where no library
    does."""
    try:
        import hypertune
    except ImportError:
        return lambda step, accuracy: None
    reporter = hypertune.HyperTune()

    def report(step, accuracy):
        reporter.report_hyperparameter_tuning_metric(
            hyperparameter_metric_tag="accuracy", metric_value=accuracy, global_step=step)

    return report


def save(model, folder):
    os.makedirs(folder, exist_ok=True)
    path = os.path.join(folder, "model.joblib")
    joblib.dump({"scaler": model.scaler, "classifier": model.classifier}, path)
    return path


def main():
    arguments = parse_arguments()
    train_features, train_species = load(arguments.train_file)
    test_features, test_species = load(arguments.test_file)
    model = IrisModel(arguments.learning_rate, arguments.regularization, arguments.seed)
    model.fit_scaler(train_features)
    report = make_reporter()
    every = max(1, arguments.train_steps // 10)
    for step in range(1, arguments.train_steps + 1):
        model.step(train_features, train_species, arguments.batch_size)
        if step % every == 0 or step == arguments.train_steps:
            accuracy = model.accuracy(test_features, test_species)
            report(step, accuracy)
            print(f"step {step} accuracy {accuracy:.4f}", flush=True)
    folder = arguments.outdir or os.environ.get("AIP_MODEL_DIR") or arguments.job_dir or "output"
    print(f"model saved to {save(model, folder)}", flush=True)


if __name__ == "__main__":
    main()
