import { lossCases, lossFailures } from '../cases/loss';
import { runCases } from '../harness/run-cases';

runCases(lossCases, lossFailures);
