#!/usr/bin/env python3
"""Measures llama.cpp as examples/bench does the engine: MODEL THREADS PROMPT ANSWER SEQUENCES ROUNDS.

Prints tokens per second as JSON: prefill, decode, and several sequences decoding together.
Needs PyPI's llama-cpp-python.
"""
import ctypes
import json
import sys
import time

import llama_cpp

path = sys.argv[1]
threads, prompt, answer, sequences, rounds = map(int, sys.argv[2:7])

silent = llama_cpp.llama_log_callback(lambda *_: None)
llama_cpp.llama_log_set(silent, ctypes.c_void_p(0))
llama_cpp.llama_backend_init()
model = llama_cpp.llama_model_load_from_file(path.encode(), llama_cpp.llama_model_default_params())
params = llama_cpp.llama_context_default_params()
params.n_ctx = 2048 * sequences
params.n_batch = 512
params.n_seq_max = sequences
params.n_threads = params.n_threads_batch = threads
context = llama_cpp.llama_init_from_model(model, params)
memory = llama_cpp.llama_get_memory(context)
batch = llama_cpp.llama_batch_init(512, 0, 1)


def decode(rows):
    """rows: (token, position, sequence, whether logits are wanted)"""
    batch.n_tokens = len(rows)
    for at, (token, position, sequence, wanted) in enumerate(rows):
        batch.token[at] = token
        batch.pos[at] = position
        batch.n_seq_id[at] = 1
        batch.seq_id[at][0] = sequence
        batch.logits[at] = wanted
    assert llama_cpp.llama_decode(context, batch) == 0


def read(count, sequence):
    decode([(300 + at * 7 % 1000, at, sequence, at == count - 1) for at in range(count)])


def timed(work):
    """Seconds by the clock and of processor time."""
    start, processor = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - start, time.process_time() - processor


def rates(name, count, work):
    clock, processor = timed(work)
    return {name: count / clock, f"{name}_processor": count / processor}


def together(name, count):
    llama_cpp.llama_memory_clear(memory, True)
    for sequence in range(count):
        read(1, sequence)

    def work():
        for step in range(answer - 1):
            decode([(400 + step, 1 + step, sequence, True) for sequence in range(count)])

    return rates(name, count * (answer - 1), work)


best = {}
for _ in range(rounds):
    llama_cpp.llama_memory_clear(memory, True)
    figures = rates("prefill", prompt, lambda: read(prompt, 0)) | together("decode", 1) | together("together", sequences)
    best = {name: max(best.get(name, 0.0), value) for name, value in figures.items()}
print(json.dumps(best))
