"""ResNet-18 by its public definition, that of torchvision.models.resnet: resnet18.py FILE imagenet|cifar SEED.

FILE gets {"model": its state_dict, "input": images, "logits": what it gives for them in evaluation}.
"""
import sys

import torch
from torch import nn


class BasicBlock(nn.Module):
    def __init__(self, inplanes, planes, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(inplanes, planes, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(planes)
        self.conv2 = nn.Conv2d(planes, planes, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(planes)
        self.downsample = None
        if stride != 1 or inplanes != planes:
            self.downsample = nn.Sequential(nn.Conv2d(inplanes, planes, 1, stride, bias=False), nn.BatchNorm2d(planes))

    def forward(self, x):
        out = torch.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        return torch.relu(out + (x if self.downsample is None else self.downsample(x)))


class ResNet18(nn.Module):
    def __init__(self, stem, num_classes):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False) if stem == "imagenet" else nn.Conv2d(3, 64, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.maxpool = nn.MaxPool2d(3, 2, 1) if stem == "imagenet" else nn.Identity()
        for i, (inplanes, planes) in enumerate([(64, 64), (64, 128), (128, 256), (256, 512)], 1):
            setattr(self, f"layer{i}", nn.Sequential(BasicBlock(inplanes, planes, 1 if i == 1 else 2),
                                                     BasicBlock(planes, planes, 1)))
        self.avgpool = nn.AdaptiveAvgPool2d((1, 1))
        self.fc = nn.Linear(512, num_classes)

    def forward(self, x):
        x = self.maxpool(torch.relu(self.bn1(self.conv1(x))))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.fc(torch.flatten(self.avgpool(x), 1))


file, stem, seed = sys.argv[1:]
torch.manual_seed(int(seed))
net = ResNet18(stem, 1000 if stem == "imagenet" else 10)
images = torch.randn(2, 3, *((65, 96) if stem == "imagenet" else (32, 32)))
for name, module in net.named_modules():
    if isinstance(module, nn.BatchNorm2d):
        nn.init.uniform_(module.weight, 0.5, 1.5)
        nn.init.normal_(module.bias, 0, 0.2)
with torch.no_grad():
    net(images)  # running statistics that are these images', nearly
    net.eval()
    torch.save({"model": net.state_dict(), "input": images, "logits": net(images)}, file)
