// Builds ONNX models in memory for onnxruntime, with the package onnx-proto of the rivals' folder.

/** What is used of onnx-proto, which is not among this project's dependencies. */
export interface OnnxProto {
  readonly onnx: { readonly ModelProto: { create(fields: object): object; encode(model: object): { finish(): Uint8Array } } };
}

type Attribute = number | string | readonly number[];
type Data = Float32Array | Int8Array | Uint8Array | BigInt64Array;

// Numbers of onnx.proto: TensorProto.DataType and AttributeProto.AttributeType.
const dataTypes = [
  [Float32Array, 1],
  [Uint8Array, 2],
  [Int8Array, 3],
  [BigInt64Array, 7],
] as const;
const FLOAT = 1;
const attributeTypes = { float: 1, int: 2, string: 3, ints: 7 } as const;
/** Attributes that are floats; all other numbers are integers. */
const floatAttributes = new Set(['epsilon']);

function attributeOf(name: string, value: Attribute): object {
  if (typeof value === 'string') return { name, s: Buffer.from(value), type: attributeTypes.string };
  if (typeof value !== 'number') return { name, ints: value, type: attributeTypes.ints };
  return floatAttributes.has(name) ? { name, f: value, type: attributeTypes.float } : { name, i: value, type: attributeTypes.int };
}

export class OnnxGraph {
  private readonly nodes: object[] = [];
  private readonly initializers: object[] = [];
  private names = 0;

  constructor(private readonly proto: OnnxProto) {}

  /** Adds a node of one output; returns its name. */
  op(type: string, inputs: readonly string[], attributes: Readonly<Record<string, Attribute>> = {}, domain = ''): string {
    return this.ops(type, inputs, 1, attributes, domain)[0];
  }

  /** Adds a node of several outputs; returns their names. */
  ops(
    type: string,
    inputs: readonly string[],
    outputs: number,
    attributes: Readonly<Record<string, Attribute>> = {},
    domain = '',
  ): string[] {
    const output = Array.from({ length: outputs }, () => `t${++this.names}`);
    const attribute = Object.entries(attributes).map(([name, value]) => attributeOf(name, value));
    this.nodes.push({ opType: type, input: inputs, output, attribute, domain });
    return output;
  }

  /** Adds a constant; returns its name. */
  constant(dims: readonly number[], data: Data): string {
    const name = `c${++this.names}`;
    const [, dataType] = dataTypes.find(([type]) => data instanceof type)!;
    this.initializers.push({ name, dims, dataType, rawData: new Uint8Array(data.buffer, data.byteOffset, data.byteLength) });
    return name;
  }

  scalar(value: number): string {
    return this.constant([], Float32Array.of(value));
  }

  shape(...dims: readonly number[]): string {
    return this.constant([dims.length], BigInt64Array.from(dims, BigInt));
  }

  /** The bytes of a model of one float input 'x' and one float output. */
  model(inputShape: readonly number[], output: string): Uint8Array {
    const { ModelProto } = this.proto.onnx;
    const shape = { dim: inputShape.map((dimValue) => ({ dimValue })) };
    const model = ModelProto.create({
      irVersion: 9,
      opsetImport: [
        { domain: '', version: 20 },
        { domain: 'com.microsoft', version: 1 },
      ],
      graph: {
        name: 'benchmark',
        node: this.nodes,
        initializer: this.initializers,
        input: [{ name: 'x', type: { tensorType: { elemType: FLOAT, shape } } }],
        output: [{ name: output, type: { tensorType: { elemType: FLOAT } } }],
      },
    });
    return ModelProto.encode(model).finish();
  }
}
