import { calibration, nn, quantize, randn } from '../../lib';
import { calibrations } from '../../lib/quantize/calibration-scope';

test('a calibration is current inside its function alone, with its options filled in', () => {
  expect(calibrations.current).toBeUndefined();
  calibration(
    () => {
      expect(calibrations.current?.options).toEqual({ momentum: 0.5, streamline: true, debug: false });
      expect(calibrations.current?.modules.size).toBe(0);
      const layer = quantize(new nn.Linear(4, 2), { activations: 'qint8' });
      layer.forward(randn([1, 4]));
      expect([...(calibrations.current?.modules.keys() ?? [])]).toEqual([layer]);
    },
    { momentum: 0.5 },
  );
  expect(calibrations.current).toBeUndefined();
});
