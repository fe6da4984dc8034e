import { nn, type Tensor } from '../../lib';

/** fc3(relu(fc2(relu(fc1(x))))), as the fixtures have it. */
export class Mlp extends nn.Module {
  readonly fc1: nn.Linear;
  readonly fc2: nn.Linear;
  readonly fc3: nn.Linear;

  constructor([input, first, second, output]: readonly number[]) {
    super();
    this.fc1 = new nn.Linear(input, first);
    this.fc2 = new nn.Linear(first, second);
    this.fc3 = new nn.Linear(second, output);
  }

  forward(src: Tensor): Tensor {
    return this.fc3.forward(this.fc2.forward(this.fc1.forward(src).relu()).relu());
  }
}
