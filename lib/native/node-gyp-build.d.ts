declare module 'node-gyp-build' {
  /** Loads the addon of the package in a folder: its build, or the prebuilt binary for this platform. */
  function load(folder: string): unknown;
  export = load;
}
