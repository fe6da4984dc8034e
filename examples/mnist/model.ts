import { nn } from 'quanto';

/** A perceptron with two hidden layers: normalized pixels [n, 784] -> logits of the ten digits [n, 10]. */
export function createModel(): nn.Sequential {
  return new nn.Sequential(
    new nn.Linear(28 * 28, 512),
    new nn.ReLU(),
    new nn.Linear(512, 256),
    new nn.ReLU(),
    new nn.Linear(256, 10), //
  );
}
