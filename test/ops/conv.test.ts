import { convCases, convFailures } from '../cases/conv';
import { runCases } from '../harness/run-cases';

runCases(convCases, convFailures);
