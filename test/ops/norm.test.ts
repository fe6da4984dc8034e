import { normCases, normFailures } from '../cases/norm';
import { runCases } from '../harness/run-cases';

runCases(normCases, normFailures);
