import { matmulCases, matmulFailures } from '../cases/matmul';
import { quantizedProductCases } from '../cases/quantized-products';
import { runCases } from '../harness/run-cases';

runCases([...matmulCases, ...quantizedProductCases], matmulFailures);
