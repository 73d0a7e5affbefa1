// The module lies beside its script, which the development server's pre-bundling would move away from it.
export default { optimizeDeps: { exclude: ["deniable"] } };
