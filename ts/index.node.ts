// The package's entry in Node.
export * from './index';
