"""Networks as papers have them, their stems made for small images.

ConvNets, ResNets, MobileNet, ShuffleNet, VGG and Wide ResNet; all others are torchvision's and timm's.
"""
