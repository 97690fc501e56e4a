/* Sums that stand in a map and are written from time to time, by iterators that the recorder runs. */
#pragma once

/* Two iterators, for while it records and for its end. What they go over is short: the first step writes all of `map`,
 * each element by `flush`. */
#define CC_FLUSHES(map, flush) CC_FLUSH(flush_##map, map, flush) CC_FLUSH(end_##map, map, flush)

#define CC_FLUSH(program, map, flush)                               \
	SEC("iter/bpf_map")                                         \
	int program(struct bpf_iter__bpf_map *ctx)                  \
	{                                                           \
		if (ctx->meta->seq_num == 0)                        \
			bpf_for_each_map_elem(&map, flush, 0, 0);   \
		return 0;                                           \
	}
