import { indexCases, indexFailures } from '../cases/indexing';
import { runCases } from '../harness/run-cases';

runCases(indexCases, indexFailures);
