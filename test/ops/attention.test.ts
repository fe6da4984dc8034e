import { attentionCases, attentionFailures } from '../cases/attention';
import { runCases } from '../harness/run-cases';

runCases(attentionCases, attentionFailures);
