import torch
from shapes import CLASSES, Shapes


def test_it_gives_uint8_images_of_every_class() -> None:
    data = Shapes(per_class=8).load()
    images = data.train.read(torch.arange(24))
    assert images.dtype == torch.uint8 and tuple(images.shape) == (24, 3, 16, 16)
    assert data.train.targets.tolist() == [label for label in range(3) for _ in range(8)]
    assert data.class_names == CLASSES and len(data.test) == 6


def test_the_fingerprint_is_of_the_images() -> None:
    one, same, other = Shapes(per_class=8), Shapes(per_class=8), Shapes(per_class=9)
    assert one.load().fingerprint == same.load().fingerprint != other.load().fingerprint
