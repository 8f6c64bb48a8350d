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
// There are two arithmetics, float32 and, where the processor has AVX512-BF16, bfloat16 with sums in float32. All that
// differs is what a product multiplies, and it is a template argument: a float, or a Pair of neighbours in the sum, which
// one instruction multiplies with another Pair and adds up. Operands are rounded to Pairs where they are made: weights
// once a call, the hidden map and the probabilities while they are in registers. The scores, the softmax, LayerNorm,
// dropout, residuals and all that is saved or handed out are float32 in both.
//
// NaN and infinity go where the stock layer lets them go, so that weights that diverged are seen: comparisons are
// written for the side on which NaN falls, and dropout multiplies by 0, which leaves both visible.
//
// Vectors are written with the vector extension of GCC and Clang; their width follows the instruction set of the
// build. The functions at the end are called through ctypes: no header of PyTorch or Python is needed.

#include <array>
#include <atomic>
#include <cfloat>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <new>
#include <type_traits>

#if defined(__AVX512F__)
#include <immintrin.h>
#endif

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
#if defined(__AVX512F__)
INLINE Vec larger(Vec a, Vec b) { return (Vec)_mm512_max_ps((__m512)a, (__m512)b); }    // the same in one instruction
#else
INLINE Vec larger(Vec a, Vec b) { return a > b ? a : b; }                    // b where one of them is NaN
#endif
INLINE float sum_lanes(Vec v) { float s = 0; for (int i = 0; i < LANES; i++) s += v[i]; return s; }
INLINE VecU lane_numbers() { VecU v; for (int i = 0; i < LANES; i++) v[i] = i; return v; }
constexpr int round_up(int n, int to) { return (n + to - 1) / to * to; }

// 2^x for x <= 0, off by at most 3e-7 of it: 0 where x is below -126.5, NaN where it is NaN. Split x into an integer n and
// a rest in [-1/2, 1/2], for which there is a polynomial of degree 5. The bits of n + 127 are the exponent of 2^n.
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

// ---------------------------------------------------------------------------------------------------- arithmetics

// What a product multiplies, its Number, is a float or a Pair; a step of its sum takes one of each side.

template <class Number> constexpr int steps(int numbers);
template <> constexpr int steps<float>(int numbers) { return numbers; }

INLINE void multiply_add(Vec& sum, float a, Vec b) { sum += a * b; }

#if defined(__AVX512BF16__)
#define HAS_BF16 1

struct Pair { uint16_t even, odd; };                // the numbers 2 k and 2 k + 1 of a sum over k, in bfloat16

template <> constexpr int steps<Pair>(int numbers) { return (numbers + 1) / 2; }

INLINE VecU load(const Pair* p) { VecU v; std::memcpy(&v, p, sizeof v); return v; }
INLINE void store(Pair* p, VecU v) { std::memcpy(p, &v, sizeof v); }

INLINE void multiply_add(Vec& sum, Pair a, VecU b) {
    uint32_t bits;
    std::memcpy(&bits, &a, sizeof bits);
    sum = (Vec)_mm512_dpbf16_ps((__m512)sum, (__m512bh)(bits - VecU{}), (__m512bh)b);
}

// Pairs of neighbours within a row: (low[0], low[1]), ... (high[14], high[15]). Rounds to nearest, ties to even.
INLINE VecU pairs_along(Vec low, Vec high) { return (VecU)_mm512_cvtne2ps_pbh((__m512)high, (__m512)low); }

// Pairs across two rows: (even[0], odd[0]), (even[1], odd[1]), ...
INLINE VecU pairs_across(Vec even, Vec odd) {
    typedef uint16_t Index __attribute__((vector_size(4 * LANES)));
    Index from;
    for (int i = 0; i < 2 * LANES; i++) from[i] = i / 2 + i % 2 * LANES;
    return (VecU)_mm512_permutexvar_epi16((__m512i)from, (__m512i)pairs_along(even, odd));
}
#else
#define HAS_BF16 0
#endif

// ------------------------------------------------------------------------------------------------ matrix product

template <int N> using Constant = std::integral_constant<int, N>;

enum class Start { zero, bias, sum };               // C = A B, C = bias + A B, C = C + A B

// Views of a matrix in memory: its rows, or its columns, lie LD Numbers apart. Of Pairs, one step of the sum is one row
// of Columns, or one Number of Rows.
template <int LD, class N> struct RowsOf { using Number = N; const N* data; static constexpr int row_step = LD, column_step = 1; };
template <int LD, class N> struct ColumnsOf { using Number = N; const N* data; static constexpr int row_step = 1, column_step = LD; };
template <int LD, class N> INLINE RowsOf<LD, N> rows(const N* data) { return {data}; }
template <int LD, class N> INLINE ColumnsOf<LD, N> columns(const N* data) { return {data}; }

// Where C is; of at(row, column), the tile that begins there can be read and written.
template <int LD> struct Output {
    static constexpr int rows_together = 1;         // a tile has a multiple of so many rows
    float* data;
    INLINE_MEMBER Output at(int row, int column) const { return {data + row * LD + column}; }
    INLINE_MEMBER Vec read(int r, int v) const { return load(data + r * LD + v * LANES); }
    INLINE_MEMBER void prefetch(int r, int v) const { __builtin_prefetch(data + r * LD + v * LANES, 1); }
    template <int R, int V> INLINE_MEMBER void write(const Vec (&tile)[R][V]) const {
        UNROLL for (int r = 0; r < R; r++)
            UNROLL for (int v = 0; v < V; v++) store(data + r * LD + v * LANES, tile[r][v]);
    }
};

// What may be done to a row of a tile while it is in registers: nothing, by default. What it needs beside the row, such
// as random numbers, is made `ahead`: in between the multiplications, which leave the units for integers idle.
struct AsItIs {
    struct Ahead {};
    INLINE_MEMBER Ahead ahead(int, int) const { return {}; }
    template <class Tile> INLINE_MEMBER void operator()(Tile&, Ahead, int, int) const {}
};

// One register tile: R rows by V vectors of C, summed over all of K while it stays in registers. It begins at
// C[row][column]; the pointers and c are of that place.
template <int R, int V, int STEPS, class A, class B, class C, class Finish>
__attribute__((noinline)) void gemm_tile(const typename A::Number* a, const typename B::Number* b, C c, Start start, const float* bias, int row, int column, Finish finish) {
    Vec sum[R][V];                                  // in registers, because all its loops are unrolled
    if (start == Start::sum)                        // the next tile of C, which comes from a farther cache
        UNROLL for (int r = 0; r < R; r++)
            UNROLL for (int v = 0; v < V; v++) c.prefetch(r + R, v);
    UNROLL for (int r = 0; r < R; r++)
        UNROLL for (int v = 0; v < V; v++)
            sum[r][v] = start == Start::sum ? c.read(r, v) : splat(start == Start::bias ? bias[r] : 0.f);
    typename Finish::Ahead ahead[R];                // in memory
    for (int k = 0; k < STEPS; k++, a += A::column_step, b += B::row_step) {
        if (k < R) ahead[k] = finish.ahead(row + k, column);
        decltype(load(b)) b_row[V];
        UNROLL for (int v = 0; v < V; v++) b_row[v] = load(b + v * LANES);
        UNROLL for (int r = 0; r < R; r++)
            UNROLL for (int v = 0; v < V; v++) multiply_add(sum[r][v], a[r * A::row_step], b_row[v]);
    }
    for (int r = STEPS; r < R; r++) ahead[r] = finish.ahead(row + r, column);
    UNROLL for (int r = 0; r < R; r++) finish(sum[r], ahead[r], row + r, column);
    c.write(sum);
}

// C[M][N] = A[M][K] B[K][N], PANEL columns at a time, in blocks of rows of nearly equal height
template <int M, int N, int K, class A, class B, class C, class Finish = AsItIs>
INLINE void gemm(A a, B b, C c, Start start, const float* bias = nullptr, Finish finish = {}) {
    static_assert(std::is_same_v<typename A::Number, typename B::Number>, "a product has one arithmetic");
    static_assert(N % LANES == 0 && M % C::rows_together == 0, "C is made of whole tiles");
    constexpr int together = C::rows_together, units = M / together, unit_limit = MAX_ROWS / together;
    constexpr int blocks = (units + unit_limit - 1) / unit_limit, low = units / blocks, high_blocks = units % blocks;
    for (int n = 0; n < N; n += PANEL)
        for (int i = 0, row = 0; i < blocks; i++) {
            const auto run = [&](auto height, auto vectors) {
                gemm_tile<height(), vectors(), steps<typename A::Number>(K), A, B>(
                    a.data + row * A::row_step, b.data + n, c.at(row, n), start, bias + row, row, n, finish);
                row += height();
            };
            const auto choose_rows = [&](auto vectors) {
                if (high_blocks && i < high_blocks) run(Constant<(low + 1) * together>{}, vectors);
                else run(Constant<low * together>{}, vectors);
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

template <class Number> struct Buffer {              // Numbers on a cache line boundary, 0 at first
    Number* data;
    explicit Buffer(std::size_t n) : data((Number*)std::aligned_alloc(64, round_up(n * sizeof(Number), 64))) {
        if (!data) throw std::bad_alloc();
        std::memset((void*)data, 0, n * sizeof(Number));
    }
    ~Buffer() { std::free(data); }
    Buffer(const Buffer&) = delete;
    Buffer& operator=(const Buffer&) = delete;
    operator Number*() const { return data; }
};

// What a thread works in: on the heap, since the stacks of OpenMP's workers may be small, and kept for its next call,
// since fresh memory costs a page fault every 4 kB. Null where memory does not suffice: no exception may leave a thread.
template <class Scratch> static Scratch* of_this_thread() {     // static: each library has its own, of its own shape
    static thread_local std::unique_ptr<Scratch> scratch;
    if (!scratch) scratch.reset(new (std::nothrow) Scratch);
    return scratch.get();
}

// out[c * ld_out + r] = in[r * ld_in + c]
INLINE void transpose(const float* in, int rows, int columns, int ld_in, float* out, int ld_out) {
    constexpr int block = 16;                       // a block's rows stay in the nearest cache
    for (int first = 0; first < rows; first += block)
        for (int c = 0; c < columns; c++)
            for (int r = first; r < rows && r < first + block; r++) out[c * ld_out + r] = in[r * ld_in + c];
}

// x[K][N], its rows ld floats apart, as the operand of a product that sums over its rows: out[steps(K)][N]
INLINE void pack_over_rows(const float* x, int K, int N, int ld, float* out) {
    for (int k = 0; k < K; k++) std::memcpy(out + k * N, x + k * ld, N * sizeof(float));
}

// The same where the operand may be x itself; `packed` is for what it is packed in otherwise. Likewise over_columns, for
// the sum over the columns of x[M][K], rows K floats apart.
struct Unpacked {};
template <int K, int N> INLINE const float* over_rows(const float* x, Unpacked) { return x; }
template <int M, int K> INLINE const float* over_columns(const float* x, Unpacked) { return x; }

#if HAS_BF16
INLINE Vec load_part(const float* p, int n) { Vec v{}; std::memcpy(&v, p, (n < LANES ? n : LANES) * sizeof(float)); return v; }

INLINE void pack_over_rows(const float* x, int K, int N, int ld, Pair* out) {
    for (int k = 0; k < K; k += 2, out += N)
        for (int n = 0; n < N; n += LANES) {
            const float* even = x + k * ld + n;
            const VecU pairs = pairs_across(load_part(even, N - n), k + 1 < K ? load_part(even + ld, N - n) : Vec{});
            std::memcpy(out + n, &pairs, (N - n < LANES ? N - n : LANES) * sizeof(Pair));
        }
}

template <int K, int N> INLINE const Pair* over_rows(const float* x, Pair* packed) {
    pack_over_rows(x, K, N, N, packed);
    return packed;
}

template <int M, int K> INLINE const Pair* over_columns(const float* x, Pair* packed) {
    static_assert(K % (2 * LANES) == 0, "rows fill the vectors");
    for (int i = 0; i < M * K; i += 2 * LANES) store(packed + i / 2, pairs_along(load(x + i), load(x + i + LANES)));
    return packed;
}
#endif

// Room for what over_rows or over_columns packs of an operand of at most ROWS x COLUMNS floats
template <class Number, int ROWS, int COLUMNS> struct Packing {
    alignas(64) Number data[steps<Number>(ROWS) * COLUMNS];
    operator Number*() { return data; }
};
template <int ROWS, int COLUMNS> struct Packing<float, ROWS, COLUMNS> {
    operator Unpacked() const { return {}; }
};

// What becomes an operand while it is computed, x[M][N], in the forms for a sum over its rows and over its columns
template <class Number, int M, int N> struct Map;

enum class Forms { over_rows, over_columns, both };

template <int M, int N> struct Map<float, M, N> {
    alignas(64) float map[M * N];

    const float* over_rows() const { return map; }
    const float* over_columns() const { return map; }
    template <Forms> Output<N> output() { return {map}; }
    static constexpr int32_t minus_zero = INT32_MIN;                // its bits
    INLINE_MEMBER VecI bits(int row, int column) const { return (VecI)load(map + row * N + column); }
};

#if HAS_BF16
template <int M, int N> struct Map<Pair, M, N> {
    alignas(64) Pair across[M / 2 * N], along[M * N / 2];

    template <Forms FORMS> struct Pairs {
        static constexpr int rows_together = 2;
        Pair *across, *along;
        INLINE_MEMBER Pairs at(int row, int column) const { return {across + row / 2 * N + column, along + (row * N + column) / 2}; }
        INLINE_MEMBER Vec read(int, int) const { return Vec{}; }    // nothing is added to a Map
        INLINE_MEMBER void prefetch(int, int) const {}
        template <int R> INLINE_MEMBER void write(const Vec (&tile)[R][2]) const {
            UNROLL for (int r = 0; r < R; r += 2)
                UNROLL for (int i = 0; i < 2; i++) {
                    if (FORMS != Forms::over_columns)
                        store(across + r / 2 * N + i * LANES, pairs_across(tile[r][i], tile[r + 1][i]));
                    if (FORMS != Forms::over_rows)
                        store(along + (r + i) * N / 2, pairs_along(tile[r + i][0], tile[r + i][1]));
                }
        }
    };

    const Pair* over_rows() const { return across; }
    const Pair* over_columns() const { return along; }
    template <Forms FORMS> Pairs<FORMS> output() { return {across, along}; }
    static constexpr int32_t minus_zero = 0x8000;
    INLINE_MEMBER VecI bits(int row, int column) const {            // of the form over_columns
        return (VecI)_mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i*)(along + (row * N + column) / 2)));
    }
};
#endif

template <class Pointer>
struct Parameters {                                 // in the order of the stock layer's parameters
    Pointer in_weight, in_bias, out_weight, out_bias, weight1, bias1, weight2, bias2, norm1_weight, norm1_bias,
        norm2_weight, norm2_bias;
};

struct Call {                                       // as in native.py
    int64_t sequences, threads;
    uint64_t seed;
    double dropout, eps1, eps2;
    int64_t bf16;                                   // whether Number is Pair
};

template <class Number> struct Layer {              // what all sequences share
    static constexpr int chunk_size = steps<Number>(D) * CHUNK;

    Call call;
    Parameters<const float*> w;
    Buffer<Number> in_weight_t, out_weight_t;       // [D][3D], [D][D]; here and below, the sums run over the rows
    Buffer<Number> weight1_chunks, weight2_chunks;  // [F / CHUNK][D][CHUNK]: a chunk's weights lie together
    Buffer<Number> weight2_t;                       // [F][D], with the scale of the hidden map's dropout
    Buffer<Number> in_weight, out_weight, weight1;  // [3D][D], [D][D], [F][D]

    Layer(const Call& call, const Parameters<const float*>& w)
        : call(call), w(w), in_weight_t(steps<Number>(D) * 3 * D), out_weight_t(steps<Number>(D) * D),
          weight1_chunks(F / CHUNK * chunk_size), weight2_chunks(F / CHUNK * chunk_size), weight2_t(steps<Number>(F) * D),
          in_weight(steps<Number>(3 * D) * D), out_weight(steps<Number>(D) * D), weight1(steps<Number>(F) * D) {
        const Buffer<float> transposed(D * (F > 3 * D ? F : 3 * D));
        const auto pack_chunks = [](const float* weight, Number* chunks) {       // weight[D][F]
            for (int f = 0; f < F; f += CHUNK, chunks += chunk_size) pack_over_rows(weight + f, D, CHUNK, F, chunks);
        };
        transpose(w.in_weight, 3 * D, D, D, transposed, 3 * D);
        pack_over_rows(transposed, D, 3 * D, 3 * D, in_weight_t);
        transpose(w.out_weight, D, D, D, transposed, D);
        pack_over_rows(transposed, D, D, D, out_weight_t);
        transpose(w.weight1, F, D, D, transposed, F);
        pack_chunks(transposed, weight1_chunks);
        pack_chunks(w.weight2, weight2_chunks);
        transpose(w.weight2, D, F, F, transposed, D);
        const float scale = dropout(0, HIDDEN).scale;
        for (int i = 0; i < D * F; i++) transposed[i] *= scale;
        pack_over_rows(transposed, F, D, D, weight2_t);
        pack_over_rows(w.in_weight, 3 * D, D, D, in_weight);
        pack_over_rows(w.out_weight, D, D, D, out_weight);
        pack_over_rows(w.weight1, F, D, D, weight1);
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

// Of one head and PANEL queries: the scores, and what is made of them for the products that follow. floats() may be the
// memory of the Map itself: what has been read may be overwritten.
template <class Number> struct ScoreMap : Map<Number, T, PANEL> {
    alignas(64) float scores[T * PANEL];
    float* floats() { return scores; }
};
template <> struct ScoreMap<float> : Map<float, T, PANEL> {
    float* floats() { return map; }
};

template <class Number> struct Attention {          // what attention works in
    ScoreMap<Number> p;
    Packing<Number, D, T> v;
};

// saved.attended, top and inverse_sum from qkv[3D][T], whose queries are scaled
template <class Number>
void attention(const Dropout& dropout, float* qkv, const Saved& saved, Attention<Number>& scratch) {
    auto& [p, v_packing] = scratch;
    const Number* values = over_columns<D, T>(qkv + 2 * D * T, v_packing);
    const float* scores = p.floats();
    for (int h = 0; h < H; h++) {
        float *q = qkv + h * E * T, *out = saved.attended + h * E * T;
        const float* k = q + D * T;
        const Number* v = values + h * E * steps<Number>(T);
        scale_queries(q);
        for (int i = 0; i < T; i += PANEL) {
            gemm<T, PANEL, E>(columns<T>(k), rows<T>(q + i), Output<PANEL>{p.floats()}, Start::zero);
            Vec top[2], sum[2] = {}, odd_top[2], weight[2];
            for (Vec& t : top) t = splat(-FLT_MAX);              // finite, so that scores of -inf become 0
            for (Vec& t : odd_top) t = splat(-FLT_MAX);
            for (int j = 0; j < T; j += 2)
                UNROLL for (int half = 0; half < 2; half++) {
                    top[half] = larger(top[half], load(scores + j * PANEL + half * LANES));
                    odd_top[half] = larger(odd_top[half], load(scores + (j + 1) * PANEL + half * LANES));
                }
            UNROLL for (int half = 0; half < 2; half++) top[half] = larger(odd_top[half], top[half]);
            for (int j = 0; j < T; j += 2) {
                Vec tile[2][2];                     // [even and odd key][half of the queries]
                UNROLL for (int half = 0; half < 2; half++) {
                    Vec &even = tile[0][half], &odd = tile[1][half];
                    even = exp2_negative(load(scores + j * PANEL + half * LANES) - top[half]);
                    odd = exp2_negative(load(scores + (j + 1) * PANEL + half * LANES) - top[half]);
                    sum[half] += even + odd;
                    if (dropout.active()) {
                        const VecU random = attention_random(dropout, h, j, i + half * LANES);
                        even = drop_unless(dropout.keep_high(random), even);
                        odd = drop_unless(dropout.keep_low(random), odd);
                    }
                }
                p.template output<Forms::over_rows>().at(j, 0).write(tile);
            }
            UNROLL for (int half = 0; half < 2; half++) {
                const Vec inverse_sum = 1.f / (sum[half] == 0.f ? splat(1.f) : sum[half]);      // 0 where all scores are -inf
                store(saved.top + h * T + i + half * LANES, top[half]);
                store(saved.inverse_sum + h * T + i + half * LANES, inverse_sum);
                weight[half] = dropout.scale * inverse_sum;
            }
            gemm<E, PANEL, T>(rows<steps<Number>(T)>(v), rows<PANEL>(p.over_rows()), Output<T>{out + i}, Start::zero);
            for (int e = 0; e < E; e++)
                for (int half = 0; half < 2; half++) {
                    float* o = out + e * T + i + half * LANES;
                    store(o, load(o) * weight[half]);
                }
        }
    }
}

template <class Number> struct AttentionBackward {  // what attention_backward works in
    static constexpr int W = round_up(E, LANES);
    ScoreMap<Number> p, g;
    Packing<Number, D, T> k_packing;
    Packing<Number, T, W> q_packing, out_packing;
    alignas(64) float q_t[T * W] = {}, out_t[T * W] = {}, k_grad[T * W], v_grad[T * W];
};

// grad_qkv[3D][T] from grad_out[D][T]. Probabilities and dropout are computed again, and the queries scaled.
template <class Number>
void attention_backward(const Dropout& dropout, float* qkv, const Saved& saved, const float* grad_out, float* grad_qkv,
                        AttentionBackward<Number>& scratch) {
    constexpr int W = AttentionBackward<Number>::W;
    auto& [p, g, k_packing, q_packing, out_packing, q_t, out_t, k_grad, v_grad] = scratch;
    const Number* keys = over_columns<D, T>(qkv + D * T, k_packing);
    const float *scores = p.floats(), *p_grads = g.floats();
    for (int h = 0; h < H; h++) {
        float* q = qkv + h * E * T;
        const float *k = q + D * T, *v = k + D * T;
        const float *go = grad_out + h * E * T, *out = saved.attended + h * E * T;
        float* q_grad = grad_qkv + h * E * T;
        transpose(q, E, T, T, q_t, W);
        scale_queries(q);
        transpose(go, E, T, T, out_t, W);
        const Number *q_over_t = over_rows<T, W>(q_t, q_packing), *go_over_t = over_rows<T, W>(out_t, out_packing);
        for (int i = 0; i < T; i += PANEL) {
            gemm<T, PANEL, E>(columns<T>(k), rows<T>(q + i), Output<PANEL>{p.floats()}, Start::zero);
            gemm<T, PANEL, E>(columns<T>(v), rows<T>(go + i), Output<PANEL>{g.floats()}, Start::zero);
            Vec top[2], inverse_sum[2], shift[2] = {};      // shift: sum over the keys of probability * its gradient
            UNROLL for (int half = 0; half < 2; half++) {
                const int query = i + half * LANES;
                top[half] = load(saved.top + h * T + query), inverse_sum[half] = load(saved.inverse_sum + h * T + query);
                for (int e = 0; e < E; e++) shift[half] += load(go + e * T + query) * load(out + e * T + query);
            }
            for (int j = 0; j < T; j += 2) {
                Vec kept[2][2], grad[2][2];         // [even and odd key][half of the queries]
                UNROLL for (int half = 0; half < 2; half++) {
                    const int at = j * PANEL + half * LANES;
                    const Vec even = exp2_negative(load(scores + at) - top[half]) * inverse_sum[half];
                    const Vec odd = exp2_negative(load(scores + at + PANEL) - top[half]) * inverse_sum[half];
                    Vec even_grad = load(p_grads + at) * dropout.scale, odd_grad = load(p_grads + at + PANEL) * dropout.scale;
                    kept[0][half] = even, kept[1][half] = odd;
                    if (dropout.active()) {
                        const VecU random = attention_random(dropout, h, j, i + half * LANES);
                        const VecI keep_even = dropout.keep_high(random), keep_odd = dropout.keep_low(random);
                        kept[0][half] = drop_unless(keep_even, even), even_grad = drop_unless(keep_even, even_grad);
                        kept[1][half] = drop_unless(keep_odd, odd), odd_grad = drop_unless(keep_odd, odd_grad);
                    }
                    grad[0][half] = even * (even_grad - shift[half]) * GRAD_SCALE;
                    grad[1][half] = odd * (odd_grad - shift[half]) * GRAD_SCALE;
                }
                p.template output<Forms::over_columns>().at(j, 0).write(kept);
                g.template output<Forms::both>().at(j, 0).write(grad);
            }
            const Start start = i ? Start::sum : Start::zero;
            constexpr int row = steps<Number>(PANEL);
            gemm<E, PANEL, T>(rows<steps<Number>(T)>(keys + h * E * steps<Number>(T)), rows<PANEL>(g.over_rows()),
                              Output<T>{q_grad + i}, Start::zero);
            gemm<T, W, PANEL>(rows<row>(g.over_columns()), rows<W>(q_over_t + steps<Number>(i) * W), Output<W>{k_grad}, start);
            gemm<T, W, PANEL>(rows<row>(p.over_columns()), rows<W>(go_over_t + steps<Number>(i) * W), Output<W>{v_grad}, start);
        }
        for (int e = 0; e < E; e++)
            for (int t = 0; t < T; t++) {
                q_grad[(D + e) * T + t] = k_grad[t * W + e];
                q_grad[(2 * D + e) * T + t] = v_grad[t * W + e] * dropout.scale;
            }
    }
}

// -------------------------------------------------------------------------------------------------- feed-forward

// ReLU, then dropout without its scale, on two vectors of the hidden map: one hash serves both. For the backward pass,
// which has the map over its columns, a unit that ReLU sets to 0 becomes -0, a dropped one +0: it tells them apart.
template <Forms FORMS> struct ReluDropout {
    const Dropout& dropout;
    int first_unit;

    using Ahead = VecU;
    INLINE_MEMBER VecU ahead(int row, int column) const {
        if (!dropout.active()) return VecU{};
        return dropout.random(lane_numbers() + (uint32_t)((first_unit + row) * T + column) / 2);
    }
    INLINE_MEMBER void operator()(Vec (&hidden)[2], VecU random, int, int) const {
        for (Vec& unit : hidden) {
            if (FORMS == Forms::over_rows) unit = larger(Vec{}, unit);
            else unit = unit <= 0.f ? splat(-0.f) : unit;
        }
        if (!dropout.active()) return;
        hidden[0] = drop_unless(dropout.keep_high(random), hidden[0]);
        hidden[1] = drop_unless(dropout.keep_low(random), hidden[1]);
    }
};

template <class Number> using HiddenMap = Map<Number, CHUNK, T>;

// The gradient of both: dropout multiplies by 0, then ReLU selects.
template <class Number> struct ReluDropoutGradient {
    const HiddenMap<Number>& hidden;

    using Ahead = AsItIs::Ahead;
    INLINE_MEMBER Ahead ahead(int, int) const { return {}; }
    INLINE_MEMBER void operator()(Vec (&grad)[2], Ahead, int row, int column) const {
        UNROLL for (int i = 0; i < 2; i++) {
            const VecI unit = hidden.bits(row, column + i * LANES);
            grad[i] = keep_where(unit != hidden.minus_zero, drop_unless(unit != 0, grad[i]));
        }
    }
};

// hidden = dropout(relu(W1 x + b1)) of the units from f on, without dropout's scale; x[D][T] to be summed over D
template <Forms FORMS, class Number>
void hidden_chunk(const Layer<Number>& L, const Dropout& dropout, int f, const Number* x, HiddenMap<Number>& hidden) {
    gemm<CHUNK, T, D>(columns<CHUNK>(L.weight1_chunks + f / CHUNK * L.chunk_size), rows<T>(x), hidden.template output<FORMS>(),
                      Start::bias, L.w.bias1 + f, ReluDropout<FORMS>{dropout, f});
}

// out[D][T] = W2 dropout(relu(W1 x + b1)) + b2; hidden is worked in
template <class Number>
void feed_forward(const Layer<Number>& L, const Dropout& dropout, const Number* x, float* out, HiddenMap<Number>& hidden) {
    for (int f = 0; f < F; f += CHUNK) {
        hidden_chunk<Forms::over_rows>(L, dropout, f, x, hidden);
        gemm<D, T, CHUNK>(columns<D>(L.weight2_t + steps<Number>(f) * D), rows<T>(hidden.over_rows()), Output<T>{out},
                          f ? Start::sum : Start::bias, L.w.bias2);
    }
}

// Gradients of the weights, W wide. Column D, which meets a constant 1 in the input, is the bias's gradient.
struct Gradients {
    static constexpr int W = round_up(D + 1, LANES), size = (4 * D + 2 * F) * W + 5 * D * LANES;
    Buffer<float> all;
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

// g[M][W] += x[M][T] y[T][W]: what a product's weights and biases get, where y ends in ones
template <int M, class Number> INLINE void add_weight_gradient(const Number* x, const Number* y, float* g) {
    gemm<M, W, T>(rows<steps<Number>(T)>(x), rows<W>(y), Output<W>{g}, Start::sum);
}

// x[D][T] -> out[T][W] with a column of ones after the D features; the rest of out is left as it is
void transpose_with_ones(const float* x, float* out) {
    transpose(x, D, T, T, out, W);
    for (int t = 0; t < T; t++) out[t * W + D] = 1.f;
}

template <class Number> struct FeedForwardBackward {        // what feed_forward_backward works in
    HiddenMap<Number> hidden, grad_hidden;
    Packing<Number, D, T> x, grad_out;
    Packing<Number, T, W> x_t, grad_out_t;
    alignas(64) float x_rows[T * W] = {}, grad_out_rows[T * W] = {};
};

// Adds to grad_x[D][T]. grad_out comes multiplied by dropout's scale, which both of its uses want.
template <class Number>
void feed_forward_backward(const Layer<Number>& L, const Dropout& dropout, Gradients& g, const float* x, const float* grad_out,
                           float* grad_x, FeedForwardBackward<Number>& scratch) {
    auto& [hidden, grad_hidden, x_packing, grad_out_packing, x_t_packing, grad_out_t_packing, x_rows, grad_out_rows] = scratch;
    transpose_with_ones(x, x_rows);
    transpose_with_ones(grad_out, grad_out_rows);
    const Number *x_over_d = over_rows<D, T>(x, x_packing), *x_over_t = over_rows<T, W>(x_rows, x_t_packing);
    const Number *grad_over_d = over_rows<D, T>(grad_out, grad_out_packing);
    const Number *grad_over_t = over_rows<T, W>(grad_out_rows, grad_out_t_packing);
    for (int f = 0; f < F; f += CHUNK) {
        hidden_chunk<Forms::over_columns>(L, dropout, f, x_over_d, hidden);
        add_weight_gradient<CHUNK>(hidden.over_columns(), grad_over_t, g.weight2_t + f * W);
        gemm<CHUNK, T, D>(columns<CHUNK>(L.weight2_chunks + f / CHUNK * L.chunk_size), rows<T>(grad_over_d),
                          grad_hidden.template output<Forms::both>(), Start::zero, nullptr, ReluDropoutGradient<Number>{hidden});
        add_weight_gradient<CHUNK>(grad_hidden.over_columns(), x_over_t, g.weight1 + f * W);
        gemm<D, T, CHUNK>(columns<D>(L.weight1 + steps<Number>(f) * D), rows<T>(grad_hidden.over_rows()), Output<T>{grad_x}, Start::sum);
    }
}

// ------------------------------------------------------------------------------------------------ a whole sequence

INLINE void add(const float* x, float* to) {        // to[D][T] += x[D][T]
    for (int i = 0; i < D * T; i++) to[i] += x[i];
}

template <class Number> struct Forward {            // what a thread's forward pass works in
    alignas(64) float x_t[D * T], x1[D * T], qkv[3 * D * T], saved[Saved::size];
    Attention<Number> attention;
    HiddenMap<Number> hidden;
    Packing<Number, D, T> packing;
};

// y[T][D] from x[T][D]; `saved` is filled
template <class Number>
void forward_sequence(const Layer<Number>& L, int n, const float* x, float* y, const Saved& saved, Forward<Number>& scratch) {
    auto& [x_t, x1, qkv, unsaved, of_attention, hidden, packing] = scratch;
    transpose(x, T, D, D, x_t, T);
    gemm<3 * D, T, D>(columns<3 * D>(L.in_weight_t.data), rows<T>(over_rows<D, T>(x_t, packing)), Output<T>{qkv}, Start::bias, L.w.in_bias);
    attention(L.dropout(n, ATTENTION), qkv, saved, of_attention);
    gemm<D, T, D>(columns<D>(L.out_weight_t.data), rows<T>(over_rows<D, T>(saved.attended, packing)), Output<T>{saved.r1}, Start::bias,
                  L.w.out_bias);
    apply(L.dropout(n, AFTER_ATTENTION), saved.r1);
    add(x_t, saved.r1);
    layer_norm(saved.r1, L.w.norm1_weight, L.w.norm1_bias, L.call.eps1, x1);

    feed_forward(L, L.dropout(n, HIDDEN), over_rows<D, T>(x1, packing), saved.r2, hidden);
    apply(L.dropout(n, AFTER_FEED_FORWARD), saved.r2);
    add(x1, saved.r2);
    layer_norm(saved.r2, L.w.norm2_weight, L.w.norm2_bias, L.call.eps2, x1);
    transpose(x1, D, T, T, y, D);
}

template <class Number> struct Backward {           // what a thread's backward pass works in
    alignas(64) float x_t[D * T], x1[D * T], qkv[3 * D * T], grad_qkv[3 * D * T], grad_attended[D * T], x_rows[T * W] = {};
    alignas(64) float grad[D * T], branch[D * T];   // gradients of the residual path and of what was added to it
    Packing<Number, T, W> packed_rows;
    Packing<Number, 3 * D + 1, T> packing;
    FeedForwardBackward<Number> feed_forward;
    AttentionBackward<Number> attention;
};

// grad_x[T][D] from grad_y[T][D]; adds the weights' gradients to g
template <class Number>
void backward_sequence(const Layer<Number>& L, int n, Gradients& g, const float* x, const Saved& saved, const float* grad_y,
                       float* grad_x, Backward<Number>& scratch) {
    auto& [x_t, x1, qkv, grad_qkv, grad_attended, x_rows, grad, branch, packed_rows, packing, of_feed_forward, of_attention] = scratch;
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
    add_weight_gradient<D>(over_columns<D, T>(branch, packing), over_rows<T, W>(x_rows, packed_rows), g.out);
    gemm<D, T, D>(columns<D>(L.out_weight.data), rows<T>(over_rows<D, T>(branch, packing)), Output<T>{grad_attended}, Start::zero);
    gemm<3 * D, T, D>(columns<3 * D>(L.in_weight_t.data), rows<T>(over_rows<D, T>(x_t, packing)), Output<T>{qkv}, Start::bias, L.w.in_bias);
    attention_backward(L.dropout(n, ATTENTION), qkv, saved, grad_attended, grad_qkv, of_attention);
    transpose_with_ones(x_t, x_rows);
    add_weight_gradient<3 * D>(over_columns<3 * D, T>(grad_qkv, packing), over_rows<T, W>(x_rows, packed_rows), g.in);
    gemm<D, T, 3 * D>(columns<D>(L.in_weight.data), rows<T>(over_rows<3 * D, T>(grad_qkv, packing)), Output<T>{grad}, Start::sum);
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

// ---------------------------------------------------------------------------------------------------- all sequences

// work(i, scratch) for every i below `count`, shared out to threads; throws std::bad_alloc where one of them has no scratch
template <class Scratch, class Work> void in_threads(int threads, int64_t count, const Work& work) {
    std::atomic<bool> enough{true};
#pragma omp parallel num_threads(threads)
    {
        Scratch* const scratch = of_this_thread<Scratch>();
        if (!scratch) enough = false;
#pragma omp barrier
        if (enough) {                                       // in all threads or in none
#pragma omp for schedule(dynamic)
            for (int64_t i = 0; i < count; i++) work(i, *scratch);
        }
    }
    if (!enough) throw std::bad_alloc();
}

template <class Number>
void forward(const Call& call, const Parameters<const float*>& parameters, const float* x, float* y, float* saved) {
    const Layer<Number> L(call, parameters);
    in_threads<Forward<Number>>(call.threads, call.sequences, [&](int64_t n, Forward<Number>& scratch) {
        forward_sequence(L, n, x + n * T * D, y + n * T * D, Saved(saved ? saved + n * Saved::size : scratch.saved), scratch);
    });
}

template <class Number>
void backward(const Call& call, const Parameters<const float*>& parameters, const float* x, float* saved, const float* grad_y,
              float* grad_x, const Parameters<float*>& grad_parameters) {
    const Layer<Number> L(call, parameters);
    const int64_t sequences = call.sequences, used = sequences > SLABS ? SLABS : sequences > 0 ? sequences : 1;
    Slabs* const kept = of_this_thread<Slabs>();
    if (!kept) throw std::bad_alloc();
    Slabs& slabs = *kept;                           // the same ones in all the threads below
    for (int64_t slab = 0; slab < used; slab++)
        if (!slabs[slab]) slabs[slab] = std::make_unique<Gradients>();
    in_threads<Backward<Number>>(call.threads, used, [&](int64_t slab, Backward<Number>& scratch) {
        slabs[slab]->set_to_0();
        for (int64_t n = sequences * slab / used; n < sequences * (slab + 1) / used; n++)
            backward_sequence(L, n, *slabs[slab], x + n * T * D, Saved(saved + n * Saved::size), grad_y + n * T * D,
                              grad_x + n * T * D, scratch);
    });
    write_gradients(slabs, used, grad_parameters, call.threads);
}

// ------------------------------------------------------------------------------------------- called through ctypes

// Floats that a sequence's forward pass saves for its backward pass
extern "C" int64_t saved_size() { return Saved::size; }

// Whether a call may ask for bf16
extern "C" int64_t has_bf16() { return HAS_BF16; }

// Whether memory sufficed for `work`: an exception would end the process
template <class Work> static bool enough_memory(const Work& work) {
    try {
        work();
        return true;
    } catch (const std::bad_alloc&) {
        return false;
    }
}

// x, y [sequences][T][D]; saved [sequences][saved_size], or null when no gradient is wanted. Both calls return whether
// memory sufficed.
extern "C" bool layer_forward(const Call* call, const Parameters<const float*>* parameters, const float* x, float* y, float* saved) {
    return enough_memory([&] {
#if HAS_BF16
        if (call->bf16) return forward<Pair>(*call, *parameters, x, y, saved);
#endif
        forward<float>(*call, *parameters, x, y, saved);
    });
}

extern "C" bool layer_backward(const Call* call, const Parameters<const float*>* parameters, const float* x, float* saved,
                               const float* grad_y, float* grad_x, const Parameters<float*>* grad_parameters) {
    return enough_memory([&] {
#if HAS_BF16
        if (call->bf16) return backward<Pair>(*call, *parameters, x, saved, grad_y, grad_x, *grad_parameters);
#endif
        backward<float>(*call, *parameters, x, saved, grad_y, grad_x, *grad_parameters);
    });
}
