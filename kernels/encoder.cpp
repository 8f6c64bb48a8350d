// One post-norm Transformer encoder layer on CPU: forward and backward, without ever storing the hidden map.
//
// The same mathematics as torch.nn.TransformerEncoderLayer(norm_first=False, activation=relu), for sequences of T
// tokens (the 128 channels) with D features (the 25 time steps):
//
//     r1 = x  + dropout(out_proj(attention(in_proj(x))))        x1 = LayerNorm1(r1)
//     r2 = x1 + dropout(W2 dropout(relu(W1 x1 + b1)) + b2)      y  = LayerNorm2(r2)
//
// How it gets fast:
//   * A sequence lies transposed, [features][tokens], so the lanes of a vector register are tokens. Softmax,
//     LayerNorm and both feed-forward products then need no sum across lanes, and D = 25 needs no padding.
//   * All matrix products go through one register-tiled kernel, gemm() below. All sizes are constants of the build.
//   * The F = 2048 hidden units are visited CHUNK at a time. A chunk's map stays in the nearest cache, feeds the
//     second product and is forgotten; the backward pass computes it again.
//   * Dropout masks are a hash of (seed, sequence, place), so the backward pass computes them again as well.
//   * Sequences are independent: threads share them out. Weight gradients are summed in a number of slabs that does
//     not depend on the number of threads, hence the same bits with 1 thread or 64.
//
// NaN and infinity go where the stock layer lets them go, so that weights that diverged are seen: comparisons are
// written for the side on which NaN falls, and dropout multiplies by 0, which leaves both visible.
//
// Vectors are written with the vector extension of GCC and Clang; their width follows the instruction set of the
// build. The functions at the end are called through ctypes: no header of PyTorch or Python is needed.

#include <array>
#include <cfloat>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <new>
#include <type_traits>

#if defined(__AVX512F__)
constexpr int LANES = 16, REGISTERS = 32;
#elif defined(__AVX__)
constexpr int LANES = 8, REGISTERS = 16;
#elif defined(__aarch64__)
constexpr int LANES = 4, REGISTERS = 32;
#else
constexpr int LANES = 4, REGISTERS = 16;
#endif

constexpr int T = TOKENS, D = FEATURES, H = HEADS, F = HIDDEN_UNITS;      // given by the build
constexpr int E = D / H;                           // features of a head
constexpr int PANEL = 2 * LANES;                   // columns of a register tile of gemm()
constexpr int MAX_ROWS = (REGISTERS - 4) / 2;      // rows of a register tile: two accumulators each
constexpr int CHUNK = 64;                          // hidden units computed at a time
constexpr int SLABS = 32;                          // partial sums of the weight gradients

static_assert(D % H == 0, "heads share the features evenly");
static_assert(T % PANEL == 0 && F % CHUNK == 0, "tokens and hidden units fill the tiles");

typedef float Vec __attribute__((vector_size(4 * LANES)));
typedef int32_t VecI __attribute__((vector_size(4 * LANES)));
typedef uint32_t VecU __attribute__((vector_size(4 * LANES)));

#define INLINE static inline __attribute__((always_inline))
#define INLINE_MEMBER __attribute__((always_inline))
#define UNROLL _Pragma("GCC unroll 32")

INLINE Vec load(const float* p) { Vec v; std::memcpy(&v, p, sizeof v); return v; }
INLINE void store(float* p, Vec v) { std::memcpy(p, &v, sizeof v); }
INLINE Vec splat(float s) { return s - Vec{}; }
INLINE Vec keep_where(VecI mask, Vec v) { return mask ? v : Vec{}; }
INLINE Vec drop_unless(VecI mask, Vec v) { return mask ? v : v * 0.f; }      // infinity becomes NaN, NaN stays
INLINE Vec larger(Vec a, Vec b) { return a > b ? a : b; }                    // b where one of them is NaN
INLINE float sum_lanes(Vec v) { float s = 0; for (int i = 0; i < LANES; i++) s += v[i]; return s; }
INLINE VecU lane_numbers() { VecU v; for (int i = 0; i < LANES; i++) v[i] = i; return v; }
constexpr int round_up(int n, int to) { return (n + to - 1) / to * to; }

// 2^x for x <= 0: 0 where x is below -126.5, NaN where it is NaN. Split x into an integer n and a rest in [-1/2, 1/2],
// for which a polynomial of degree 5 is exact to the last bits of a float. The bits of n + 127 are the exponent of 2^n.
INLINE Vec exp2_negative(Vec x) {
    x = larger(splat(-127.f), x);
    const float to_integer = 12582912.f + 127.f;                // 1.5 * 2^23: adding it rounds to an integer
    const Vec shifted = x + to_integer, rest = x - (shifted - to_integer);
    Vec y = splat(1.3264815e-3f);
    y = y * rest + 9.6703773e-3f;
    y = y * rest + 5.5507131e-2f;
    y = y * rest + 2.4022237e-1f;
    y = y * rest + 6.9314699e-1f;
    y = y * rest + 1.f;
    return y * (Vec)((VecI)shifted << 23);
}

// ------------------------------------------------------------------------------------------------ matrix product

template <int N> using Constant = std::integral_constant<int, N>;

enum class Start { zero, bias, sum };               // C = A B, C = bias + A B, C = C + A B

// Views of a matrix in memory: its rows, or its columns, lie LD floats apart.
template <int LD> struct Rows { const float* data; static constexpr int row_step = LD, column_step = 1; };
template <int LD> struct Columns { const float* data; static constexpr int row_step = 1, column_step = LD; };
template <int LD> struct Output { float* data; };

// What may be done to the R-th row of a tile while it is in registers: nothing, by default.
struct AsItIs { template <class Tile> void operator()(Tile&, int, int) const {} };

// One register tile: R rows by V vectors of C, summed over all of K while it stays in registers.
template <int R, int V, int K, class A, int LDB, int LDC, class Finish>
void gemm_tile(const float* a, const float* b, float* c, Start start, const float* bias, int row, int column, Finish finish) {
    Vec sum[R][V];                                  // in registers, because all its loops are unrolled
    UNROLL for (int r = 0; r < R; r++)
        UNROLL for (int v = 0; v < V; v++)
            sum[r][v] = start == Start::sum ? load(c + r * LDC + v * LANES) : splat(start == Start::bias ? bias[r] : 0.f);
    for (int k = 0; k < K; k++, a += A::column_step, b += LDB) {
        Vec b_row[V];
        UNROLL for (int v = 0; v < V; v++) b_row[v] = load(b + v * LANES);
        UNROLL for (int r = 0; r < R; r++)
            UNROLL for (int v = 0; v < V; v++) sum[r][v] += a[r * A::row_step] * b_row[v];
    }
    UNROLL for (int r = 0; r < R; r++) {
        finish(sum[r], row + r, column);
        UNROLL for (int v = 0; v < V; v++) store(c + r * LDC + v * LANES, sum[r][v]);
    }
}

// C[M][N] = A[M][K] B[K][N], PANEL columns at a time, in blocks of rows of nearly equal height
template <int M, int N, int K, class A, int LDB, int LDC, class Finish = AsItIs>
INLINE void gemm(A a, Rows<LDB> b, Output<LDC> c, Start start, const float* bias = nullptr, Finish finish = {}) {
    static_assert(N % LANES == 0, "columns of C fill the vectors");
    constexpr int blocks = (M + MAX_ROWS - 1) / MAX_ROWS, low = M / blocks, high_blocks = M % blocks;
    for (int n = 0; n < N; n += PANEL)
        for (int i = 0, row = 0; i < blocks; i++) {
            const auto run = [&](auto rows, auto vectors) {
                gemm_tile<rows(), vectors(), K, A, LDB, LDC>(a.data + row * A::row_step, b.data + n, c.data + row * LDC + n,
                                                             start, bias + row, row, n, finish);
                row += rows();
            };
            const auto choose_rows = [&](auto vectors) {
                if (high_blocks && i < high_blocks) run(Constant<low + 1>{}, vectors);
                else run(Constant<low>{}, vectors);
            };
            if (N - n >= PANEL) choose_rows(Constant<2>{});
            else if constexpr (N % PANEL) choose_rows(Constant<1>{});
        }
}

// ------------------------------------------------------------------------------------------------------- dropout

enum Place { ATTENTION, AFTER_ATTENTION, HIDDEN, AFTER_FEED_FORWARD, PLACES };

// The random numbers of one dropout in one sequence: each is a hash of its counter and of this key.
struct Dropout {
    uint32_t key1, key2, threshold;                 // dropped when 16 random bits are below the threshold / 2^16
    float scale;                                    // 1 / (share kept), which keeps the expectation

    Dropout(uint64_t seed, int sequence, Place place, float p) {
        uint64_t z = seed + 0x9e3779b97f4a7c15ull * ((uint64_t)sequence * PLACES + place + 1);    // SplitMix64
        z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
        z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
        z ^= z >> 31;
        key1 = (uint32_t)z, key2 = (uint32_t)(z >> 32);
        const uint32_t dropped = (uint32_t)std::lround(p * 65536.f);
        threshold = dropped << 16;
        scale = dropped < 65536 ? 65536.f / (65536 - dropped) : 0.f;
    }
    bool active() const { return threshold != 0; }

    INLINE_MEMBER VecU random(VecU counter) const { // an integer hash of low bias: shift, multiply, shift, multiply
        VecU x = counter + key1;
        x = (x ^ (x >> 16)) * 0x7feb352du;
        x ^= key2;
        x = (x ^ (x >> 15)) * 0x846ca68bu;
        return x ^ (x >> 16);
    }
    INLINE_MEMBER VecI keep_high(VecU random) const { return random >= threshold; }
    INLINE_MEMBER VecI keep_low(VecU random) const { return (random << 16) >= threshold; }
};

// In place on x[D][T]: dropped elements are multiplied by 0, the others by `scale`.
void apply(const Dropout& dropout, float* x) {
    if (!dropout.active()) return;
    for (int i = 0; i < D * T; i += LANES) {
        const VecI keep = dropout.keep_high(dropout.random(lane_numbers() + (uint32_t)i));
        store(x + i, load(x + i) * keep_where(keep, splat(dropout.scale)));
    }
}

// --------------------------------------------------------------------------------------------- memory and layout

struct Buffer {                                     // floats on a cache line boundary, 0 at first
    float* data;
    explicit Buffer(std::size_t n) : data((float*)std::aligned_alloc(64, round_up(n * sizeof(float), 64))) {
        if (!data) throw std::bad_alloc();
        std::memset(data, 0, n * sizeof(float));
    }
    ~Buffer() { std::free(data); }
    Buffer(const Buffer&) = delete;
    Buffer& operator=(const Buffer&) = delete;
    operator float*() const { return data; }
};

// What a thread works in: on the heap, since the stacks of OpenMP's workers may be small, and kept for its next call,
// since fresh memory costs a page fault every 4 kB.
template <class Scratch> static Scratch& of_this_thread() {     // static: each library has its own, of its own shape
    static thread_local const std::unique_ptr<Scratch> scratch(new Scratch);
    return *scratch;
}

// out[c * ld_out + r] = in[r * ld_in + c]
INLINE void transpose(const float* in, int rows, int columns, int ld_in, float* out, int ld_out) {
    constexpr int block = 16;                       // a block's rows stay in the nearest cache
    for (int first = 0; first < rows; first += block)
        for (int c = 0; c < columns; c++)
            for (int r = first; r < rows && r < first + block; r++) out[c * ld_out + r] = in[r * ld_in + c];
}

// in[D][F] -> out[F / CHUNK][D][CHUNK]: a chunk's weights lie together
void split_in_chunks(const float* in, float* out) {
    for (int f = 0; f < F; f += CHUNK)
        for (int d = 0; d < D; d++) std::memcpy(out + f * D + d * CHUNK, in + d * F + f, CHUNK * sizeof(float));
}

template <class Pointer>
struct Parameters {                                 // in the order of the stock layer's parameters
    Pointer in_weight, in_bias, out_weight, out_bias, weight1, bias1, weight2, bias2, norm1_weight, norm1_bias,
        norm2_weight, norm2_bias;
};

struct Call {                                       // as in native.py
    int64_t sequences, threads;
    uint64_t seed;
    double dropout, eps1, eps2;
};

struct Layer {                                      // what all sequences share
    Call call;
    Parameters<const float*> w;
    Buffer in_weight_t, out_weight_t;               // [D][3D], [D][D]
    Buffer weight1_chunks, weight2_chunks;          // [F / CHUNK][D][CHUNK]
    Buffer weight2_t;                               // [F][D], with the scale of the hidden map's dropout

    Layer(const Call& call, const Parameters<const float*>& w)
        : call(call), w(w), in_weight_t(3 * D * D), out_weight_t(D * D), weight1_chunks(D * F), weight2_chunks(D * F),
          weight2_t(D * F) {
        transpose(w.in_weight, 3 * D, D, D, in_weight_t, 3 * D);
        transpose(w.out_weight, D, D, D, out_weight_t, D);
        transpose(w.weight1, F, D, D, weight2_chunks, F);
        split_in_chunks(weight2_chunks, weight1_chunks);
        split_in_chunks(w.weight2, weight2_chunks);
        transpose(w.weight2, D, F, F, weight2_t, D);
        const float scale = dropout(0, HIDDEN).scale;
        for (int i = 0; i < D * F; i++) weight2_t[i] *= scale;
    }
    Dropout dropout(int sequence, Place place) const { return Dropout(call.seed, sequence, place, call.dropout); }
};

struct Saved {                                      // what the backward pass wants of a sequence's forward pass
    static constexpr int size = (3 * D + 2 * H) * T;
    float *attended, *r1, *r2;                      // [D][T]: attention before out_proj; the sums before the LayerNorms
    float *top, *inverse_sum;                       // [H][T]: of the softmax, the largest score and 1 / denominator
    explicit Saved(float* rows) : attended(rows), r1(rows + D * T), r2(r1 + D * T), top(r2 + D * T), inverse_sum(top + H * T) {}
};

// ----------------------------------------------------------------------------------------------------- LayerNorm

struct Moments { Vec mean, inverse_deviation; };

INLINE Moments moments(const float* x, float eps) { // over the features of LANES tokens
    Vec sum{}, squares{};
    for (int d = 0; d < D; d++) sum += load(x + d * T);
    const Vec mean = sum / (float)D;
    for (int d = 0; d < D; d++) { const Vec c = load(x + d * T) - mean; squares += c * c; }
    Vec variance = squares / (float)D + eps, inverse;
    for (int i = 0; i < LANES; i++) inverse[i] = 1.f / std::sqrt(variance[i]);
    return {mean, inverse};
}

void layer_norm(const float* x, const float* weight, const float* bias, float eps, float* y) {
    for (int t = 0; t < T; t += LANES) {
        const Moments m = moments(x + t, eps);
        for (int d = 0; d < D; d++)
            store(y + d * T + t, (load(x + d * T + t) - m.mean) * m.inverse_deviation * weight[d] + bias[d]);
    }
}

// grad: of the output on entry, of the input on return. The weights' gradients keep LANES partial sums a feature.
void layer_norm_backward(const float* x, const float* weight, float eps, float* grad, float* weight_grad, float* bias_grad) {
    for (int t = 0; t < T; t += LANES) {
        const Moments m = moments(x + t, eps);
        Vec sum{}, dot{};
        for (int d = 0; d < D; d++) {
            const Vec normal = (load(x + d * T + t) - m.mean) * m.inverse_deviation, g = load(grad + d * T + t);
            store(weight_grad + d * LANES, load(weight_grad + d * LANES) + g * normal);
            store(bias_grad + d * LANES, load(bias_grad + d * LANES) + g);
            sum += g * weight[d];
            dot += g * weight[d] * normal;
        }
        sum /= (float)D;
        dot /= (float)D;
        for (int d = 0; d < D; d++) {
            const Vec normal = (load(x + d * T + t) - m.mean) * m.inverse_deviation;
            store(grad + d * T + t, (load(grad + d * T + t) * weight[d] - sum - normal * dot) * m.inverse_deviation);
        }
    }
}

// ----------------------------------------------------------------------------------------------------- attention

// Scores and probabilities lie [T keys][PANEL queries]. The softmax is taken to base 2: 2^(score - largest score), with
// log2(e) / sqrt(E) multiplied to the queries beforehand.

const float GRAD_SCALE = 1.f / std::sqrt((float)E), SCORE_SCALE = 1.44269504f * GRAD_SCALE;

INLINE void scale_queries(float* q) {               // of a head, q[E][T]
    for (int i = 0; i < E * T; i++) q[i] *= SCORE_SCALE;
}

// The random numbers of LANES queries from `query` on, for the keys `key` and key + 1: 16 bits each.
INLINE VecU attention_random(const Dropout& dropout, int head, int key, int query) {
    return dropout.random(lane_numbers() + (uint32_t)((head * T + key) / 2 * T + query));
}

// saved.attended, top and inverse_sum from qkv[3D][T], whose queries are scaled; scores[T][PANEL] is worked in
void attention(const Dropout& dropout, float* qkv, const Saved& saved, float* scores) {
    Vec weight[2];
    for (int h = 0; h < H; h++) {
        float* q = qkv + h * E * T;
        const float *k = q + D * T, *v = k + D * T;
        float* out = saved.attended + h * E * T;
        scale_queries(q);
        for (int i = 0; i < T; i += PANEL) {
            gemm<T, PANEL, E>(Columns<T>{k}, Rows<T>{q + i}, Output<PANEL>{scores}, Start::zero);
            for (int half = 0; half < 2; half++) {
                const int query = i + half * LANES;
                float* s = scores + half * LANES;
                Vec top = splat(-FLT_MAX), sum{};   // finite, so that scores of -inf become 0
                for (int j = 0; j < T; j++) top = larger(top, load(s + j * PANEL));
                for (int j = 0; j < T; j += 2) {
                    Vec even = exp2_negative(load(s + j * PANEL) - top);
                    Vec odd = exp2_negative(load(s + (j + 1) * PANEL) - top);
                    sum += even + odd;
                    if (dropout.active()) {
                        const VecU random = attention_random(dropout, h, j, query);
                        even = drop_unless(dropout.keep_high(random), even);
                        odd = drop_unless(dropout.keep_low(random), odd);
                    }
                    store(s + j * PANEL, even);
                    store(s + (j + 1) * PANEL, odd);
                }
                const Vec inverse_sum = 1.f / (sum == 0.f ? splat(1.f) : sum);      // 0 where all scores are -inf
                store(saved.top + h * T + query, top);
                store(saved.inverse_sum + h * T + query, inverse_sum);
                weight[half] = dropout.scale * inverse_sum;
            }
            gemm<E, PANEL, T>(Rows<T>{v}, Rows<PANEL>{scores}, Output<T>{out + i}, Start::zero);
            for (int e = 0; e < E; e++)
                for (int half = 0; half < 2; half++) {
                    float* o = out + e * T + i + half * LANES;
                    store(o, load(o) * weight[half]);
                }
        }
    }
}

struct AttentionBackward {                          // what attention_backward works in
    static constexpr int W = round_up(E, LANES);
    alignas(64) float p[T * PANEL], g[T * PANEL], q_t[T * W] = {}, out_t[T * W] = {}, k_grad[T * W], v_grad[T * W];
};

// grad_qkv[3D][T] from grad_out[D][T]. Probabilities and dropout are computed again, and the queries scaled.
void attention_backward(const Dropout& dropout, float* qkv, const Saved& saved, const float* grad_out, float* grad_qkv,
                        AttentionBackward& scratch) {
    constexpr int W = AttentionBackward::W;
    auto& [p, g, q_t, out_t, k_grad, v_grad] = scratch;
    for (int h = 0; h < H; h++) {
        float* q = qkv + h * E * T;
        const float *k = q + D * T, *v = k + D * T;
        const float *go = grad_out + h * E * T, *out = saved.attended + h * E * T;
        float* q_grad = grad_qkv + h * E * T;
        transpose(q, E, T, T, q_t, W);
        scale_queries(q);
        transpose(go, E, T, T, out_t, W);
        for (int i = 0; i < T; i += PANEL) {
            gemm<T, PANEL, E>(Columns<T>{k}, Rows<T>{q + i}, Output<PANEL>{p}, Start::zero);
            gemm<T, PANEL, E>(Columns<T>{v}, Rows<T>{go + i}, Output<PANEL>{g}, Start::zero);
            for (int half = 0; half < 2; half++) {
                const int query = i + half * LANES;
                const Vec top = load(saved.top + h * T + query), inverse_sum = load(saved.inverse_sum + h * T + query);
                Vec shift{};                        // sum over the keys of probability * its gradient
                for (int e = 0; e < E; e++) shift += load(go + e * T + query) * load(out + e * T + query);
                for (int j = 0; j < T; j += 2) {
                    float *pj = p + j * PANEL + half * LANES, *gj = g + j * PANEL + half * LANES;
                    const Vec even = exp2_negative(load(pj) - top) * inverse_sum;
                    const Vec odd = exp2_negative(load(pj + PANEL) - top) * inverse_sum;
                    Vec even_grad = load(gj) * dropout.scale, odd_grad = load(gj + PANEL) * dropout.scale;
                    Vec even_kept = even, odd_kept = odd;
                    if (dropout.active()) {
                        const VecU random = attention_random(dropout, h, j, query);
                        const VecI keep_even = dropout.keep_high(random), keep_odd = dropout.keep_low(random);
                        even_kept = drop_unless(keep_even, even), even_grad = drop_unless(keep_even, even_grad);
                        odd_kept = drop_unless(keep_odd, odd), odd_grad = drop_unless(keep_odd, odd_grad);
                    }
                    store(pj, even_kept);
                    store(pj + PANEL, odd_kept);
                    store(gj, even * (even_grad - shift) * GRAD_SCALE);
                    store(gj + PANEL, odd * (odd_grad - shift) * GRAD_SCALE);
                }
            }
            const Start start = i ? Start::sum : Start::zero;
            gemm<E, PANEL, T>(Rows<T>{k}, Rows<PANEL>{g}, Output<T>{q_grad + i}, Start::zero);
            gemm<T, W, PANEL>(Rows<PANEL>{g}, Rows<W>{q_t + i * W}, Output<W>{k_grad}, start);
            gemm<T, W, PANEL>(Rows<PANEL>{p}, Rows<W>{out_t + i * W}, Output<W>{v_grad}, start);
        }
        for (int e = 0; e < E; e++)
            for (int t = 0; t < T; t++) {
                q_grad[(D + e) * T + t] = k_grad[t * W + e];
                q_grad[(2 * D + e) * T + t] = v_grad[t * W + e] * dropout.scale;
            }
    }
}

// -------------------------------------------------------------------------------------------------- feed-forward

// ReLU, then dropout without its scale, on two vectors of the hidden map: one hash serves both. A unit that ReLU sets
// to 0 becomes -0, a dropped one +0: the backward pass tells them apart.
struct ReluDropout {
    const Dropout& dropout;
    int first_unit;

    INLINE_MEMBER void operator()(Vec (&hidden)[2], int row, int column) const {
        hidden[0] = hidden[0] <= 0.f ? splat(-0.f) : hidden[0];
        hidden[1] = hidden[1] <= 0.f ? splat(-0.f) : hidden[1];
        if (!dropout.active()) return;
        const VecU random = dropout.random(lane_numbers() + (uint32_t)(((first_unit + row) * T + column) / 2));
        hidden[0] = drop_unless(dropout.keep_high(random), hidden[0]);
        hidden[1] = drop_unless(dropout.keep_low(random), hidden[1]);
    }
};

// The gradient of both: dropout multiplies by 0, then ReLU selects.
struct ReluDropoutGradient {
    const float* hidden;

    INLINE_MEMBER void operator()(Vec (&grad)[2], int row, int column) const {
        UNROLL for (int i = 0; i < 2; i++) {
            const Vec unit = load(hidden + row * T + column + i * LANES);
            grad[i] = keep_where((VecI)unit != INT32_MIN, drop_unless(unit != 0.f, grad[i]));    // the bits of -0
        }
    }
};

// hidden[CHUNK][T] = dropout(relu(W1 x + b1)) of the units from f on, without dropout's scale
void hidden_chunk(const Layer& L, const Dropout& dropout, int f, const float* x, float* hidden) {
    gemm<CHUNK, T, D>(Columns<CHUNK>{L.weight1_chunks + f * D}, Rows<T>{x}, Output<T>{hidden}, Start::bias, L.w.bias1 + f,
                      ReluDropout{dropout, f});
}

// out[D][T] = W2 dropout(relu(W1 x + b1)) + b2; hidden[CHUNK][T] is worked in
void feed_forward(const Layer& L, const Dropout& dropout, const float* x, float* out, float* hidden) {
    for (int f = 0; f < F; f += CHUNK) {
        hidden_chunk(L, dropout, f, x, hidden);
        gemm<D, T, CHUNK>(Columns<D>{L.weight2_t + f * D}, Rows<T>{hidden}, Output<T>{out}, f ? Start::sum : Start::bias, L.w.bias2);
    }
}

// Gradients of the weights, W wide. Column D, which meets a constant 1 in the input, is the bias's gradient.
struct Gradients {
    static constexpr int W = round_up(D + 1, LANES), size = (4 * D + 2 * F) * W + 5 * D * LANES;
    Buffer all;
    float *in, *out, *weight1, *weight2_t;          // [3D][W], [D][W], [F][W], [F][W]
    float *bias2, *norm1_weight, *norm1_bias, *norm2_weight, *norm2_bias;        // [D][LANES], to be summed over lanes

    Gradients() : all(size) {                       // all 0
        in = all, out = in + 3 * D * W, weight1 = out + D * W, weight2_t = weight1 + F * W, bias2 = weight2_t + F * W;
        norm1_weight = bias2 + D * LANES, norm1_bias = norm1_weight + D * LANES;
        norm2_weight = norm1_bias + D * LANES, norm2_bias = norm2_weight + D * LANES;
    }
    void set_to_0() { std::memset(all, 0, size * sizeof(float)); }
};
using Slabs = std::array<std::unique_ptr<Gradients>, SLABS>;     // made when first used
constexpr int W = Gradients::W;

// x[D][T] -> out[T][W] with a column of ones after the D features; the rest of out is left as it is
void transpose_with_ones(const float* x, float* out) {
    transpose(x, D, T, T, out, W);
    for (int t = 0; t < T; t++) out[t * W + D] = 1.f;
}

struct FeedForwardBackward {                        // what feed_forward_backward works in
    alignas(64) float hidden[CHUNK * T], grad_hidden[CHUNK * T], x_t[T * W] = {}, grad_out_t[T * W] = {};
};

// Adds to grad_x[D][T]. grad_out comes multiplied by dropout's scale, which both of its uses want.
void feed_forward_backward(const Layer& L, const Dropout& dropout, Gradients& g, const float* x, const float* grad_out, float* grad_x,
                           FeedForwardBackward& scratch) {
    auto& [hidden, grad_hidden, x_t, grad_out_t] = scratch;
    transpose_with_ones(x, x_t);
    transpose_with_ones(grad_out, grad_out_t);
    for (int f = 0; f < F; f += CHUNK) {
        hidden_chunk(L, dropout, f, x, hidden);
        gemm<CHUNK, W, T>(Rows<T>{hidden}, Rows<W>{grad_out_t}, Output<W>{g.weight2_t + f * W}, Start::sum);
        gemm<CHUNK, T, D>(Columns<CHUNK>{L.weight2_chunks + f * D}, Rows<T>{grad_out}, Output<T>{grad_hidden}, Start::zero,
                          nullptr, ReluDropoutGradient{hidden});
        gemm<CHUNK, W, T>(Rows<T>{grad_hidden}, Rows<W>{x_t}, Output<W>{g.weight1 + f * W}, Start::sum);
        gemm<D, T, CHUNK>(Columns<D>{L.w.weight1 + f * D}, Rows<T>{grad_hidden}, Output<T>{grad_x}, Start::sum);
    }
}

// ------------------------------------------------------------------------------------------------ a whole sequence

INLINE void add(const float* x, float* to) {        // to[D][T] += x[D][T]
    for (int i = 0; i < D * T; i++) to[i] += x[i];
}

struct Forward {                                    // what a thread's forward pass works in
    alignas(64) float x_t[D * T], x1[D * T], qkv[3 * D * T], scores[T * PANEL], hidden[CHUNK * T], saved[Saved::size];
};

// y[T][D] from x[T][D]; `saved` is filled
void forward_sequence(const Layer& L, int n, const float* x, float* y, const Saved& saved, Forward& scratch) {
    auto& [x_t, x1, qkv, scores, hidden, unsaved] = scratch;
    transpose(x, T, D, D, x_t, T);
    gemm<3 * D, T, D>(Columns<3 * D>{L.in_weight_t}, Rows<T>{x_t}, Output<T>{qkv}, Start::bias, L.w.in_bias);
    attention(L.dropout(n, ATTENTION), qkv, saved, scores);
    gemm<D, T, D>(Columns<D>{L.out_weight_t}, Rows<T>{saved.attended}, Output<T>{saved.r1}, Start::bias, L.w.out_bias);
    apply(L.dropout(n, AFTER_ATTENTION), saved.r1);
    add(x_t, saved.r1);
    layer_norm(saved.r1, L.w.norm1_weight, L.w.norm1_bias, L.call.eps1, x1);

    feed_forward(L, L.dropout(n, HIDDEN), x1, saved.r2, hidden);
    apply(L.dropout(n, AFTER_FEED_FORWARD), saved.r2);
    add(x1, saved.r2);
    layer_norm(saved.r2, L.w.norm2_weight, L.w.norm2_bias, L.call.eps2, x1);
    transpose(x1, D, T, T, y, D);
}

struct Backward {                                   // what a thread's backward pass works in
    alignas(64) float x_t[D * T], x1[D * T], qkv[3 * D * T], grad_qkv[3 * D * T], grad_attended[D * T], x_rows[T * W] = {};
    alignas(64) float grad[D * T], branch[D * T];   // gradients of the residual path and of what was added to it
    FeedForwardBackward feed_forward;
    AttentionBackward attention;
};

// grad_x[T][D] from grad_y[T][D]; adds the weights' gradients to g
void backward_sequence(const Layer& L, int n, Gradients& g, const float* x, const Saved& saved, const float* grad_y, float* grad_x,
                       Backward& scratch) {
    auto& [x_t, x1, qkv, grad_qkv, grad_attended, x_rows, grad, branch, of_feed_forward, of_attention] = scratch;
    transpose(x, T, D, D, x_t, T);
    transpose(grad_y, T, D, D, grad, T);

    layer_norm_backward(saved.r2, L.w.norm2_weight, L.call.eps2, grad, g.norm2_weight, g.norm2_bias);
    std::memcpy(branch, grad, sizeof branch);
    apply(L.dropout(n, AFTER_FEED_FORWARD), branch);
    const Dropout hidden = L.dropout(n, HIDDEN);
    for (int d = 0; d < D; d++) {
        Vec sum = load(g.bias2 + d * LANES);
        for (int i = d * T; i < (d + 1) * T; i += LANES) {
            sum += load(branch + i);
            store(branch + i, load(branch + i) * hidden.scale);
        }
        store(g.bias2 + d * LANES, sum);
    }
    layer_norm(saved.r1, L.w.norm1_weight, L.w.norm1_bias, L.call.eps1, x1);
    feed_forward_backward(L, hidden, g, x1, branch, grad, of_feed_forward);

    layer_norm_backward(saved.r1, L.w.norm1_weight, L.call.eps1, grad, g.norm1_weight, g.norm1_bias);
    std::memcpy(branch, grad, sizeof branch);
    apply(L.dropout(n, AFTER_ATTENTION), branch);
    transpose_with_ones(saved.attended, x_rows);
    gemm<D, W, T>(Rows<T>{branch}, Rows<W>{x_rows}, Output<W>{g.out}, Start::sum);
    gemm<D, T, D>(Columns<D>{L.w.out_weight}, Rows<T>{branch}, Output<T>{grad_attended}, Start::zero);
    gemm<3 * D, T, D>(Columns<3 * D>{L.in_weight_t}, Rows<T>{x_t}, Output<T>{qkv}, Start::bias, L.w.in_bias);
    attention_backward(L.dropout(n, ATTENTION), qkv, saved, grad_attended, grad_qkv, of_attention);
    transpose_with_ones(x_t, x_rows);
    gemm<3 * D, W, T>(Rows<T>{grad_qkv}, Rows<W>{x_rows}, Output<W>{g.in}, Start::sum);
    gemm<D, T, 3 * D>(Columns<D>{L.w.in_weight}, Rows<T>{grad_qkv}, Output<T>{grad}, Start::sum);
    transpose(grad, D, T, T, grad_x, D);
}

// Adds up the first `used` slabs in their order and brings the sum into the layout of the stock parameters.
void write_gradients(const Slabs& slabs, int used, const Parameters<float*>& out, int threads) {
    const Gradients& g = *slabs[0];
    constexpr int block = 1024;
#pragma omp parallel for num_threads(threads) schedule(static)
    for (int first = 0; first < Gradients::size; first += block)
        for (int s = 1; s < used; s++)
            for (int i = first; i < first + block && i < Gradients::size; i++) g.all[i] += slabs[s]->all[i];

    const auto write = [](const float* sum, int rows, float* weight, float* bias) {
        for (int r = 0; r < rows; r++) {
            std::memcpy(weight + r * D, sum + r * W, D * sizeof(float));
            bias[r] = sum[r * W + D];
        }
    };
    write(g.in, 3 * D, out.in_weight, out.in_bias);
    write(g.out, D, out.out_weight, out.out_bias);
    write(g.weight1, F, out.weight1, out.bias1);
    transpose(g.weight2_t, F, D, W, out.weight2, F);
    const float* sums[] = {g.bias2, g.norm1_weight, g.norm1_bias, g.norm2_weight, g.norm2_bias};
    float* vectors[] = {out.bias2, out.norm1_weight, out.norm1_bias, out.norm2_weight, out.norm2_bias};
    for (int i = 0; i < 5; i++)
        for (int d = 0; d < D; d++) vectors[i][d] = sum_lanes(load(sums[i] + d * LANES));
}

// ------------------------------------------------------------------------------------------- called through ctypes

// Floats that a sequence's forward pass saves for its backward pass
extern "C" int64_t saved_size() { return Saved::size; }

// x, y [sequences][T][D]; saved [sequences][saved_size], or null when no gradient is wanted
extern "C" void layer_forward(const Call* call, const Parameters<const float*>* parameters, const float* x, float* y, float* saved) {
    const Layer L(*call, *parameters);
#pragma omp parallel num_threads(call->threads)
    {
        Forward& scratch = of_this_thread<Forward>();
#pragma omp for schedule(dynamic)
        for (int64_t n = 0; n < call->sequences; n++)
            forward_sequence(L, n, x + n * T * D, y + n * T * D, Saved(saved ? saved + n * Saved::size : scratch.saved), scratch);
    }
}

extern "C" void layer_backward(const Call* call, const Parameters<const float*>* parameters, const float* x, float* saved,
                               const float* grad_y, float* grad_x, const Parameters<float*>* grad_parameters) {
    const Layer L(*call, *parameters);
    const int64_t sequences = call->sequences, used = sequences > SLABS ? SLABS : sequences > 0 ? sequences : 1;
    Slabs& slabs = of_this_thread<Slabs>();
#pragma omp parallel num_threads(call->threads)
    {
        Backward& scratch = of_this_thread<Backward>();
#pragma omp for schedule(dynamic)
        for (int64_t slab = 0; slab < used; slab++) {
            if (slabs[slab]) slabs[slab]->set_to_0();
            else slabs[slab] = std::make_unique<Gradients>();
            for (int64_t n = sequences * slab / used; n < sequences * (slab + 1) / used; n++)
                backward_sequence(L, n, *slabs[slab], x + n * T * D, Saved(saved + n * Saved::size), grad_y + n * T * D,
                                  grad_x + n * T * D, scratch);
        }
    }
    write_gradients(slabs, used, *grad_parameters, call->threads);
}
