// The package's version as run.json and the command line tell it. A test keeps it equal to package.json's.
export const VERSION = '0.1.0';
