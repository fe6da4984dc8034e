// Plain float64 arrays for references: slow, obvious, and sharing no code with the library.

export type Shape = readonly number[];

export const countOf = (shape: Shape): number => shape.reduce((product, size) => product * size, 1);

/** Numbers in row-major order. */
export class NdArray {
  constructor(
    readonly shape: Shape,
    readonly data: Float64Array,
  ) {}

  /** Makes each element from its index. */
  static from(shape: Shape, element: (index: number[]) => number): NdArray {
    const array = new NdArray(shape, new Float64Array(countOf(shape)));
    const index = shape.map(() => 0);
    for (let i = 0; i < array.data.length; i++) {
      array.data[i] = element(index);
      for (let axis = shape.length - 1; axis >= 0 && ++index[axis] === shape[axis]; axis--) index[axis] = 0;
    }
    return array;
  }

  get ndim(): number {
    return this.shape.length;
  }

  at(index: readonly number[]): number {
    return this.data[index.reduce((position, i, axis) => position * this.shape[axis] + i, 0)];
  }

  /** The element that broadcasting puts at an index of a larger shape. */
  broadcastAt(index: readonly number[]): number {
    const lead = index.length - this.ndim;
    return this.at(this.shape.map((size, axis) => (size === 1 ? 0 : index[lead + axis])));
  }

  map(element: (value: number) => number): NdArray {
    return new NdArray(this.shape, this.data.map(element));
  }

  reshape(...shape: number[]): NdArray {
    return new NdArray(shape, this.data);
  }

  /** Axis i of the result is axis axes[i] of this. */
  permute(...axes: number[]): NdArray {
    return NdArray.from(
      axes.map((axis) => this.shape[axis]),
      (index) => {
        const source = this.shape.map(() => 0);
        axes.forEach((axis, i) => (source[axis] = index[i]));
        return this.at(source);
      },
    );
  }

  /** Every value along some axes, folded into one number. */
  fold(axes: readonly number[], keepdim: boolean, fold: (values: number[]) => number): NdArray {
    const folded = new Set(axes);
    const kept = [...this.shape.keys()].filter((axis) => !folded.has(axis));
    const rows = this.permute(...kept, ...axes);
    const shape = this.shape.map((size, axis) => (folded.has(axis) ? 1 : size));
    const size = countOf(axes.map((axis) => this.shape[axis]));
    const results = new NdArray(
      shape,
      Float64Array.from({ length: countOf(shape) }, (_, i) => fold([...rows.data.subarray(i * size, (i + 1) * size)])),
    );
    return keepdim ? results : results.reshape(...kept.map((axis) => this.shape[axis]));
  }

  /** Rows along an axis, each replaced by as many numbers. */
  mapRows(axis: number, row: (values: number[]) => number[]): NdArray {
    const moved = [...this.shape.keys()].filter((i) => i !== axis);
    const last = this.permute(...moved, axis);
    const size = this.shape[axis];
    for (let i = 0; size > 0 && i < last.data.length; i += size) last.data.set(row([...last.data.subarray(i, i + size)]), i);
    const back = this.shape.map((_, i) => (i === axis ? this.ndim - 1 : moved.indexOf(i)));
    return last.permute(...back);
  }
}

export function broadcastShapes(...shapes: Shape[]): Shape {
  const ndim = Math.max(...shapes.map((shape) => shape.length));
  return Array.from({ length: ndim }, (_, axis) =>
    shapes.reduce((size, shape) => {
      const mine = shape[axis - ndim + shape.length] ?? 1;
      return mine === 1 ? size : mine;
    }, 1),
  );
}

/** An elementwise function of arrays that broadcast together. */
export function zip(element: (...values: number[]) => number, ...arrays: NdArray[]): NdArray {
  return NdArray.from(broadcastShapes(...arrays.map((array) => array.shape)), (index) =>
    element(...arrays.map((array) => array.broadcastAt(index))),
  );
}

export const total = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0);

/** a [..., M, K] x b [..., K, N] with broadcast batch dims. */
export function matmulReference(a: NdArray, b: NdArray): NdArray {
  const [rows, depth] = a.shape.slice(-2);
  const columns = b.shape[b.ndim - 1];
  const batches = broadcastShapes(a.shape.slice(0, -2), b.shape.slice(0, -2));
  // Where each operand's matrix of a batch begins.
  const starts = (operand: NdArray, size: number) => {
    const batch = operand.shape.slice(0, -2);
    const places = new NdArray(
      batch,
      Float64Array.from({ length: countOf(batch) }, (_, i) => i * size),
    );
    return NdArray.from(batches, (index) => places.broadcastAt(index));
  };
  const [startsA, startsB] = [starts(a, rows * depth), starts(b, depth * columns)];
  const out = new NdArray([...batches, rows, columns], new Float64Array(countOf(batches) * rows * columns));
  let next = 0;
  for (let batch = 0; batch < startsA.data.length; batch++) {
    for (let m = 0; m < rows; m++) {
      for (let n = 0; n < columns; n++) {
        let sum = 0;
        for (let k = 0; k < depth; k++) sum += a.data[startsA.data[batch] + m * depth + k] * b.data[startsB.data[batch] + k * columns + n];
        out.data[next++] = sum;
      }
    }
  }
  return out;
}
