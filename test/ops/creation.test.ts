import { creationCases, creationFailures } from '../cases/creation';
import { runCases } from '../harness/run-cases';

runCases(creationCases, creationFailures);
