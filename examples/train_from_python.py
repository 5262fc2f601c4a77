"""Read a distilled set and train on it with an ordinary loader and nothing of delt-host's training.

delt-host run --method delt --baseline cda --out runs/digits
python examples/train_from_python.py runs/digits/delt/seed-0/distilled.safetensors
"""

import sys

import torch
import torch.nn.functional as F
from torch.utils.data import DataLoader, TensorDataset

import delt_host
from delt_plugins.datasets.digits import Digits
from delt_plugins.networks.convnet import ConvNet

EPOCHS = 60


def main(path: str) -> None:
    distilled = delt_host.load(path)
    classes, size = len(distilled.class_names), distilled.image_size
    print(f"{len(distilled.targets)} images of {classes} classes, {size} px, made by {distilled.about['method']}")
    torch.manual_seed(0)
    network = ConvNet(3, classes, size)
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3)
    loader = DataLoader(TensorDataset(distilled.images(), distilled.targets), batch_size=50, shuffle=True)
    for _ in range(EPOCHS):
        for images, targets in loader:
            loss = F.cross_entropy(network(images), targets)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

    real = Digits(image_size=size).load()
    images = distilled.normalization.normalize(real.test.read(torch.arange(len(real.test))))
    with torch.inference_mode():
        right = network.eval()(images).argmax(dim=1) == real.test.targets
    print(f"top-1 on real digits, hard labels: {100 * float(right.float().mean()):.1f} %")


if __name__ == "__main__":
    main(sys.argv[1])
