declare module 'node-gyp-build' {
  interface Load {
    /** Loads the addon of the package in a folder: its build, or the prebuilt binary for this platform. */
    (folder: string): unknown;
    /** The file that it would load. */
    path(folder: string): string;
  }
  const load: Load;
  export = load;
}
