import { BatchNorm2d, Conv2d, functional as F, Linear, Module, Sequential } from '../nn';
import { div, sub } from '../ops/binary';
import { to } from '../ops/convert';
import { tensor } from '../ops/creation';
import { flatten, permute, slice } from '../ops/shape';
import { QuantoError } from '../tensor/error';
import { tidy } from '../tensor/scope';
import type { Tensor } from '../tensor/tensor';

/** Two 3x3 convolutions and a shortcut without parameters: subsampled, with zero channels on both sides ("option A"). */
class BasicBlock extends Module {
  conv1: Conv2d;
  bn1: BatchNorm2d;
  conv2: Conv2d;
  bn2: BatchNorm2d;

  constructor(
    readonly inChannels: number,
    readonly outChannels: number,
    readonly stride: number,
  ) {
    super();
    this.conv1 = new Conv2d(inChannels, outChannels, 3, { stride, padding: 1, bias: false });
    this.bn1 = new BatchNorm2d(outChannels);
    this.conv2 = new Conv2d(outChannels, outChannels, 3, { padding: 1, bias: false });
    this.bn2 = new BatchNorm2d(outChannels);
  }

  forward(src: Tensor): Tensor {
    return tidy(() => {
      const hidden = this.conv1.forwardThen(src, { norm: this.bn1, relu: true, reader: this.conv2 });
      return this.conv2.forwardThen(hidden, { norm: this.bn2, addend: this.shortcut(src), relu: true });
    });
  }

  private shortcut(src: Tensor): Tensor {
    if (this.inChannels === this.outChannels && this.stride === 1) return src;
    const kept = [2, 3].reduce((image, axis) => slice(image, axis, 0, image.shape[axis], this.stride), src);
    const added = this.outChannels - this.inChannels;
    return F.pad(kept, [0, 0, 0, 0, Math.floor(added / 2), Math.ceil(added / 2)]);
  }
}

/**
 * The residual networks for CIFAR of He et al. 2015 (section 4.2): images [N, 3, 32, 32] -> logits [N, classes]. Depth is 6n + 2: 20, 32,
 * 44, 56, 110. Names are those of akamaster/pytorch_resnet_cifar10.
 */
export class ResNet extends Module {
  conv1: Conv2d;
  bn1: BatchNorm2d;
  layer1: Sequential;
  layer2: Sequential;
  layer3: Sequential;
  linear: Linear;

  constructor({ depth = 20, classes = 10 }: { depth?: number; classes?: number } = {}) {
    super();
    const blocks = (depth - 2) / 6;
    if (!Number.isInteger(blocks) || blocks < 1) {
      throw new QuantoError('INVALID_ARGUMENT', `[ResNet] expected a depth of 6n + 2 (8, 14, 20, ...) but got ${depth}`);
    }
    const stage = (inChannels: number, outChannels: number, stride: number) =>
      new Sequential(
        ...Array.from({ length: blocks }, (_, i) =>
          i === 0 ? new BasicBlock(inChannels, outChannels, stride) : new BasicBlock(outChannels, outChannels, 1),
        ),
      );
    this.conv1 = new Conv2d(3, 16, 3, { padding: 1, bias: false });
    this.bn1 = new BatchNorm2d(16);
    this.layer1 = stage(16, 16, 1);
    this.layer2 = stage(16, 32, 2);
    this.layer3 = stage(32, 64, 2);
    this.linear = new Linear(64, classes);
  }

  forward(src: Tensor): Tensor {
    return tidy(() => {
      let hidden = this.conv1.forwardThen(src, { norm: this.bn1, relu: true });
      for (const stage of [this.layer1, this.layer2, this.layer3]) hidden = stage.forward(hidden);
      return this.linear.forward(flatten(F.adaptiveAvgPool2d(hidden, 1), 1));
    });
  }
}

/** Images as cameras give them, uint8 [N, H, W, 3], as the networks want them: float32 [N, 3, H, W], normalized as for ImageNet. */
export function normalizeImages(images: Tensor): Tensor {
  return tidy(() => {
    const perChannel = (values: number[]) => to(tensor(values), images.device);
    const scaled = div(to(images, 'float32'), 255);
    const normalized = div(sub(scaled, perChannel([0.485, 0.456, 0.406])), perChannel([0.229, 0.224, 0.225]));
    return permute(normalized, 0, 3, 1, 2);
  });
}
