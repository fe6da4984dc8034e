import { shapeCases, shapeFailures } from '../cases/shape';
import { runCases } from '../harness/run-cases';

runCases(shapeCases, shapeFailures);
