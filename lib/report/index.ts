// What quantization costs, module by module, and how each module is computed.
export { compare, type CompareOptions } from './compare';
export { Comparison, type ModuleComparison } from './comparison';
export type { Deviation } from './deviation';
export { explain, Explanation, type ModuleExplanation } from './explain';
export { Report } from './report';
export type { RepeatableSamples, Sample, Samples } from './samples';
export { Sensitivity, type Trial } from './sensitivity-result';
export { sensitivity, type SensitivityOptions, type SensitivityProgress } from './sensitivity';
export { type Budget, suggest } from './suggest';
