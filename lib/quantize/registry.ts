import type { AnyModule } from '../nn';

import { isQModule, type QuantizationConfig, type QuantizedModule } from './qmodule';

/** A class of float modules. */
type SourceClass = abstract new (...args: never[]) => AnyModule;

/** A class made with `QModule`. */
export interface QModuleClass {
  /** The quantized form of a module, or null where it stays as it is with these settings. */
  from(module: AnyModule, config: QuantizationConfig): QuantizedModule | null;
}

interface Row {
  readonly source: SourceClass;
  readonly target: QModuleClass;
}
const rows: Row[] = [];

/**
 * Lets `quantize` replace modules of a class: `registerQModule(Mine, QMine)`. Later registrations come first, so that a subclass can have
 * a quantized form of its own. A subclass with a `forward` of its own needs one: another class's form would not compute the same.
 */
export function registerQModule(source: SourceClass, target: QModuleClass): void {
  rows.unshift({ source, target });
}

/** The quantized form of a module, or null when there is none or it is quantized already. */
export function quantizedForm(module: AnyModule, config: QuantizationConfig): QuantizedModule | null {
  // A forward among the module's own properties is the user's, unless it is a hook's, which cannot be enumerated.
  if (isQModule(module) || Object.prototype.propertyIsEnumerable.call(module, 'forward')) return null;
  const prototype = Object.getPrototypeOf(module) as AnyModule;
  const row = rows.find(({ source }) => module instanceof source && prototype.forward === (source.prototype as AnyModule).forward);
  return row?.target.from(module, config) ?? null;
}
