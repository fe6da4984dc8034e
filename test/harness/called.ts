import { native } from '../../lib/native';

/** How often a function called each native function. */
export function nativeCalls(run: () => unknown): Record<string, number> {
  const calls: Record<string, number> = {};
  const functions = native as unknown as Record<string, (...args: unknown[]) => unknown>;
  const names = Object.keys(functions).filter((name) => typeof functions[name] === 'function');
  const spies = names.map((name) => {
    const original = functions[name];
    return jest.spyOn(functions, name).mockImplementation((...args) => {
      calls[name] = (calls[name] ?? 0) + 1;
      return original.apply(functions, args);
    });
  });
  try {
    run();
  } finally {
    for (const spy of spies) spy.mockRestore();
  }
  return calls;
}
