export class DeniableError extends Error {
  constructor(code, message) {
    super(message);
    this.name = "DeniableError";
    this.code = code;
  }
}
