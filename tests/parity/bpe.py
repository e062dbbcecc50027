# SPDX-License-Identifier: Apache-2.0
"""bpe: the twin of our byte-pair tokenizer, out of the package tokenizers."""

from tokenizers import Tokenizer, models, pre_tokenizers, trainers

from cases import ROOT, SCRATCH

OWN_SIZE = 556  # 256 bytes and 300 merges


def own_vocabulary():
    """300 merges learnt by the peer, in files of Hugging Face names: other ids than GPT-2 has, and no token <|endoftext|>"""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(vocab_size=OWN_SIZE, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False)
    tokenizer.train_from_iterator([path.read_text() for path in sorted((ROOT / "docs").glob("*.md"))], trainer)
    tokenizer.model.save(str(SCRATCH))
    return SCRATCH


def peer(vocabulary, encoder, merges):
    """BPE over the same two files behind ByteLevel(add_prefix_space=False), with no added tokens"""
    tokenizer = Tokenizer(models.BPE.from_file(str(vocabulary / encoder), str(vocabulary / merges)))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    return lambda text: tokenizer.encode(text, add_special_tokens=False).ids
