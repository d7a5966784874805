"""The bytes: tensors and messages of V2 and V1 over HTTP and gRPC, headers, frames of progress."""
