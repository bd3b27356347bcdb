//! Language-model inference: weights, tokenizer, sampler, scheduler.
