import { binaryCases, binaryFailures } from '../cases/binary';
import { runCases } from '../harness/run-cases';

runCases(binaryCases, binaryFailures);
