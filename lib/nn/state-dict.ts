import { native } from '../native';
import { isReal } from '../tensor/dtype';
import { deviceCode } from '../tensor/device';
import { QuantoError } from '../tensor/error';
import { requireTensor } from '../tensor/op';
import type { Tensor } from '../tensor/tensor';

/** Tensors by the dotted names of PyTorch: 'layer1.0.conv1.weight'. */
export type StateDict = Readonly<Record<string, Tensor>>;

export interface LoadResult {
  /** Names that the module has and the state dict does not. */
  readonly missingKeys: string[];
  /** Names that the state dict has and the module does not. */
  readonly unexpectedKeys: string[];
}

/**
 * What the modules of a tree find in a state dict. Their writes are collected and done at the end, so that a state dict that does not
 * fit leaves the module as it was.
 */
export class LoadReport {
  readonly missingKeys: string[] = [];
  /** Why entries cannot be loaded, each starting with its key. */
  readonly mismatches: string[] = [];
  private readonly writes: (() => void)[] = [];
  private readonly asked = new Set<string>();

  constructor(
    private readonly sd: StateDict,
    /** Whether modules take over the tensors of the state dict instead of copying their values. */
    readonly assign: boolean,
    /** Whether every tensor of the state dict is given up: freed as soon as its values are taken, or kept as it is where that fits. */
    readonly consume = false,
  ) {
    for (const [key, value] of Object.entries(sd)) requireTensor(`loadStateDict: ${key}`, value);
  }

  /** Whether the state dict has an entry; does not count as asking for it. */
  has(key: string): boolean {
    return Object.hasOwn(this.sd, key);
  }

  /** The entry of that name. A missing one is reported unless it is optional. */
  find(key: string, { optional = false } = {}): Tensor | null {
    this.asked.add(key);
    if (this.has(key)) return this.sd[key];
    if (!optional) this.missingKeys.push(key);
    return null;
  }

  /** Does something to the module once the whole state dict is known to fit. */
  whenComplete(write: () => void): void {
    this.writes.push(write);
  }

  /** Loads the entry of that name into a tensor of the same shape: the usual case. */
  load(key: string, target: Tensor, options?: { optional?: boolean }): void {
    const source = this.find(key, options);
    if (!source) return;
    const { shape } = target;
    if (source.shape.length !== shape.length || source.shape.some((size, i) => size !== shape[i])) {
      this.mismatches.push(`${key} expects shape [${shape.join(', ')}] but got [${source.shape.join(', ')}]`);
    } else if (this.assign && target.requiresGrad && !isReal(source.dtype)) {
      this.mismatches.push(`${key} requires a gradient and cannot be ${source.dtype}`);
    } else {
      this.whenComplete(() => this.write(target, source));
    }
  }

  private write(target: Tensor, source: Tensor): void {
    if (this.assign) {
      target.replaceBy(source);
      return;
    }
    const values = source.dequantize();
    const local = values.device === target.device ? values.native : native.toDevice(values.native, deviceCode(target.device));
    native.copyInPlace(target.native, local);
    this.release(source);
  }

  /** The values of an entry have been taken: it is freed if the state dict is given up. */
  release(entry: Tensor): void {
    if (this.consume) entry.dispose();
  }

  /** Does what was collected, or throws STATE_DICT with every reason. `strict` also refuses missing and unexpected keys. */
  finish(module: string, strict: boolean): LoadResult {
    const unexpectedKeys = Object.keys(this.sd).filter((key) => !this.asked.has(key));
    const reasons = [...this.mismatches];
    if (strict && this.missingKeys.length > 0) reasons.push(`missing keys: ${this.missingKeys.join(', ')}`);
    if (strict && unexpectedKeys.length > 0) reasons.push(`unexpected keys: ${unexpectedKeys.join(', ')}`);
    if (reasons.length > 0) {
      const advice = this.mismatches.length > 0 ? 'build the module with the sizes of the file' : 'pass { strict: false } to accept that';
      throw new QuantoError('STATE_DICT', `[loadStateDict] the state dict does not fit ${module}: ${reasons.join('; ')}; ${advice}`);
    }
    for (const write of this.writes) write();
    return { missingKeys: this.missingKeys, unexpectedKeys };
  }
}
