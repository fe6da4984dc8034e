import { convertCases, convertFailures } from '../cases/convert';
import { runCases } from '../harness/run-cases';

runCases(convertCases, convertFailures);
