import { reduceCases, reduceFailures } from '../cases/reduce';
import { runCases } from '../harness/run-cases';

runCases(reduceCases, reduceFailures);
