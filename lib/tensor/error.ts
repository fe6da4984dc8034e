import { native } from '../native';

/** What can go wrong, as `error.code` says it. The native side has the same names in csrc/error.h. */
export type ErrorCode =
  | 'INVALID_ARGUMENT'
  | 'SHAPE_MISMATCH'
  | 'DTYPE_MISMATCH'
  | 'DEVICE_MISMATCH'
  | 'INVALID_HANDLE'
  | 'DISPOSED'
  | 'OUT_OF_MEMORY'
  | 'NOT_SUPPORTED'
  | 'DEVICE_UNAVAILABLE'
  | 'INDEX_OUT_OF_RANGE'
  | 'DEVICE_FAILURE'
  | 'AUTOGRAD'
  | 'INVALID_FILE'
  | 'IO'
  | 'STATE_DICT'
  | 'INTERNAL';

/** Every error of this library. The message names the op, what was expected, what came, and what to do next. */
export class QuantoError extends Error {
  readonly code: ErrorCode;

  constructor(code: ErrorCode, message: string) {
    super(message);
    this.name = 'QuantoError';
    this.code = code;
  }
}

native.setErrorClass(QuantoError as new (code: string, message: string) => Error);
