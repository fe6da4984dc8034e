import { matmulCases, matmulFailures } from '../cases/matmul';
import { runCases } from '../harness/run-cases';

runCases(matmulCases, matmulFailures);
