"""The model: standardised features and a linear classifier that learns in steps, and the data it
learns from."""
import csv

import numpy
from sklearn.linear_model import SGDClassifier
from sklearn.preprocessing import StandardScaler


def load(path):
    """Features (rows x 4) and species of a CSV file with a header line."""
    with open(path, newline="", encoding="utf-8") as text:
        rows = list(csv.reader(text))[1:]
    if not rows:
        raise SystemExit(f"{path} holds no flowers")
    features = numpy.array([[float(value) for value in row[:-1]] for row in rows])
    species = numpy.array([row[-1] for row in rows])
    return features, species


class IrisModel:
    """Learns one small batch per step; the same seed gives the same model."""

    def __init__(self, learning_rate, regularization, seed):
        self.scaler = StandardScaler()
        self.classifier = SGDClassifier(
            loss="log_loss", learning_rate="constant", eta0=learning_rate, alpha=regularization,
            random_state=seed)
        self._random = numpy.random.default_rng(seed)

    def fit_scaler(self, features):
        self.scaler.fit(features)

    def step(self, features, species, batch_size):
        chosen = self._random.integers(0, len(features), batch_size)
        self.classifier.partial_fit(
            self.scaler.transform(features[chosen]), species[chosen], classes=["setosa",
                                                                               "versicolor",
                                                                               "virginica"])

    def accuracy(self, features, species):
        return float(self.classifier.score(self.scaler.transform(features), species))
