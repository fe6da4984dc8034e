// The workflow: quantize, calibrate, tune, freeze, save, load.
import { Conv2d, LayerNorm, Linear } from '../nn';

import { QConv2d } from './qconv2d';
import { QLayerNorm } from './qlayer-norm';
import { QLinear } from './qlinear';
import { registerQModule } from './registry';

registerQModule(Linear, QLinear);
registerQModule(Conv2d, QConv2d);
registerQModule(LayerNorm, QLayerNorm);

export { calibration, type OpenCalibration } from './calibrate';
export type { CalibrationOptions } from './calibration-scope';
export { loadQuantized, requantize, saveQuantized } from './checkpoint';
export { freeze } from './freeze';
export { type Observer, type ObserverName, observers, percentileObserver } from './observers';
export { smooth, type Smoothed, type SmoothOptions } from './smooth';
export { quantizationMap, type QuantizationMap } from './map';
export { isQModule, QModule, type QuantizationConfig, type QuantizedModule } from './qmodule';
export { quantize, type QuantizeOptions } from './quantize';
export { type QModuleClass, registerQModule } from './registry';
export { QConv2d, QLayerNorm, QLinear };
