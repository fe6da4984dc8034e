import { unaryCases, unaryFailures } from '../cases/unary';
import { runCases } from '../harness/run-cases';

runCases(unaryCases, unaryFailures);
