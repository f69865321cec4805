#!/usr/bin/env python3
"""Writes trainer/data/train.csv (120 flowers) and test.csv (30, ten of each species) from
scikit-learn's iris data.

The files are in the repository; this script says where they come from and makes them again, byte
for byte.
"""
import csv
import os

from sklearn.datasets import load_iris
from sklearn.model_selection import train_test_split

HEADER = ["sepal_length", "sepal_width", "petal_length", "petal_width", "species"]


def write(path, features, labels, names):
    with open(path, "w", newline="", encoding="utf-8") as output:
        writer = csv.writer(output, lineterminator="\n")
        writer.writerow(HEADER)
        for row, label in zip(features, labels):
            writer.writerow([*(f"{value:.1f}" for value in row), names[label]])


def main():
    folder = os.path.join(os.path.dirname(os.path.abspath(__file__)), "trainer", "data")
    os.makedirs(folder, exist_ok=True)
    iris = load_iris()
    train, test, train_labels, test_labels = train_test_split(
        iris.data, iris.target, test_size=30, stratify=iris.target, random_state=7)
    write(os.path.join(folder, "train.csv"), train, train_labels, iris.target_names)
    write(os.path.join(folder, "test.csv"), test, test_labels, iris.target_names)


if __name__ == "__main__":
    main()
