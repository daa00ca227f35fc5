/* Gradients of the published training, compiled: what _published.py has autograd and torch do, for
 * all runs in one call and with nothing that leaves the cache. See _compiled.py.
 *
 * n samples, M features, N latents, H hidden units (0: none). n is a multiple of PART, H and N are
 * multiples of 16, M is one of 8, and inside X and D are padded to Mp, one of 16. Rows of matrices lie
 * one after the other.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define PART 64

typedef float row __attribute__((vector_size(64), aligned(4), may_alias));

/* out[i, c] += sum over k of a[i * ai + k * ak] b[k, c], for 8 rows and 16 W columns at a time. */
#define TILE(W)                                                                               \
    for (int i = 0; i < I; i += 8) {                                                          \
        row sum[8][W];                                                                        \
        const float *p = a + i * ai, *q = b + c;                                              \
        for (int r = 0; r < 8; r++)                                                           \
            for (int w = 0; w < W; w++) sum[r][w] = *(row *)(out + (i + r) * ldo + c + 16 * w); \
        for (int k = 0; k < K; k++, p += ak, q += ldb)                                        \
            for (int r = 0; r < 8; r++)                                                       \
                for (int w = 0; w < W; w++) sum[r][w] += p[r * ai] * *(row *)(q + 16 * w);    \
        for (int r = 0; r < 8; r++)                                                           \
            for (int w = 0; w < W; w++) *(row *)(out + (i + r) * ldo + c + 16 * w) = sum[r][w]; \
    }

static void add_product(int I, int K, int C, const float *a, long ai, long ak, const float *b,
                        long ldb, float *out, long ldo) {
    int c = 0;
    for (; c + 32 <= C; c += 32) { TILE(2) }
    for (; c < C; c += 16) { TILE(1) }
}

/* out (I, C) = a (I, K) b (K, C), and out (I, C) += transposed a (K, I) b (K, C). */
static void product(int I, int K, int C, const float *a, const float *b, float *out) {
    memset(out, 0, (long)I * C * sizeof(float));
    add_product(I, K, C, a, K, 1, b, C, out, C);
}

static void add_transposed(int I, int K, int C, const float *a, const float *b, float *out) {
    add_product(I, K, C, a, 1, I, b, C, out, C);
}

static void transpose(int rows, int columns, const float *a, float *out) {
    for (int i = 0; i < rows; i++)
        for (int j = 0; j < columns; j++) out[j * rows + i] = a[i * columns + j];
}

static void pad(int rows, int M, int Mp, const float *a, float *out) {
    for (int i = 0; i < rows; i++)
        for (int j = 0; j < Mp; j++) out[i * Mp + j] = j < M ? a[i * M + j] : 0;
}

static void add_unpadded(int rows, int M, int Mp, const float *a, float *out) {
    for (int i = 0; i < rows; i++)
        for (int j = 0; j < M; j++) out[i * M + j] += a[i * Mp + j];
}

static void relu(int rows, int columns, float *a, const float *bias) {
    for (int i = 0; i < rows; i++)
        for (int j = 0; j < columns; j++)
            a[i * columns + j] = fmaxf(a[i * columns + j] + (bias ? bias[j] : 0), 0);
}

static void add_columns(int rows, int columns, const float *a, float *sums) {
    for (int i = 0; i < rows; i++)
        for (int j = 0; j < columns; j++) sums[j] += a[i * columns + j];
}

static float *room(long size) {
    return aligned_alloc(64, (size * sizeof(float) + 127) / 64 * 64);
}

/* Gradient of minus the mean over columns of the cosine of Z and Y, (n, N). */
static void cosine(int n, int N, const float *Z, const float *Y, float *gZ) {
    float *zz = calloc(3 * N, sizeof(float)), *yy = zz + N, *zy = yy + N;
    for (const float *z = Z, *y = Y; z < Z + n * N; z += N, y += N)
        for (int j = 0; j < N; j++) zz[j] += z[j] * z[j], yy[j] += y[j] * y[j], zy[j] += z[j] * y[j];
    for (int j = 0; j < N; j++) {
        float z = fmaxf(sqrtf(zz[j]), 1e-8f), y = fmaxf(sqrtf(yy[j]), 1e-8f);
        yy[j] = 1 / (z * y * N), zz[j] = zy[j] / (z * z * z * y * N);
    }
    for (int i = 0; i < n * N; i += N)
        for (int j = 0; j < N; j++) gZ[i + j] = zz[j] * Z[i + j] - yy[j] * Y[i + j];
    free(zz);
}

/* One run. p, g: weights W1, b1, W2, b2, D and their gradients, which are added to; NULL where there are
 * none. Y: known codes or NULL. */
static void autoencoder(int n, int M, int N, int H, const float *X, const float *Y, float lam,
                        float **p, float **g) {
    int W = H ? H : N, Mp = (M + 15) / 16 * 16, part = Y ? n : PART;
    float *x = room(part * Mp), *A = room((long)part * W), *gA = room((long)part * W);
    float *Z = H ? room((long)part * N) : A, *gZ = H ? room((long)part * N) : gA;
    float *R = room(part * Mp), *D = room(N * Mp), *gD = room(N * Mp), *Dt = room(Mp * N);
    float *W2t = room((long)H * N), scale = 2.0f / (n * M), slope = lam / ((float)n * N);
    memset(gD, 0, N * Mp * sizeof(float));
    if (!Y) pad(N, M, Mp, p[4], D), transpose(N, Mp, D, Dt);
    if (H) transpose(H, N, p[2], W2t);
    for (int at = 0; at < n; at += part) {
        const float *rows = X + (long)at * M;
        product(part, M, W, rows, p[0], A), relu(part, W, A, p[1]);
        if (H) product(part, H, N, A, p[2], Z), relu(part, N, Z, p[3]);
        if (Y) {
            cosine(n, N, Z, Y, gZ);
        } else {
            pad(part, M, Mp, rows, x);
            product(part, N, Mp, Z, D, R);
            for (int i = 0; i < part * Mp; i++) R[i] = scale * (R[i] - x[i]);
            product(part, Mp, N, R, Dt, gZ);
            if (g[4]) add_transposed(N, part, Mp, Z, R, gD);
            for (int i = 0; i < part * N; i++) gZ[i] += slope;
        }
        for (int i = 0; i < part * N; i++) gZ[i] = Z[i] > 0 ? gZ[i] : 0;
        if (H) {
            add_transposed(H, part, N, A, gZ, g[2]);
            if (g[3]) add_columns(part, N, gZ, g[3]);
            product(part, N, H, gZ, W2t, gA);
            for (int i = 0; i < part * H; i++) gA[i] = A[i] > 0 ? gA[i] : 0;
        }
        add_transposed(M, part, W, rows, gA, g[0]);
        if (g[1]) add_columns(part, W, gA, g[1]);
    }
    if (g[4]) add_unpadded(N, M, Mp, gD, g[4]);
    free(x), free(A), free(gA), free(R), free(D), free(gD), free(Dt), free(W2t);
    if (H) free(Z), free(gZ);
}

/* All runs. X: next_X floats from one run to the next, 0 if they share it. */
void autoencoders(int runs, int n, int M, int N, int H, const float *X, long next_X, const float *Y,
                  const float *lam, float **p, float **g) {
    int W = H ? H : N;
    long sizes[5] = {(long)M * W, W, (long)H * N, N, (long)N * M};
    float *q[5], *h[5];
    for (int run = 0; run < runs; run++) {
        for (int i = 0; i < 5; i++) {
            q[i] = p[i] ? p[i] + run * sizes[i] : NULL, h[i] = g[i] ? g[i] + run * sizes[i] : NULL;
            if (h[i]) memset(h[i], 0, sizes[i] * sizeof(float));
        }
        autoencoder(n, M, N, H, X + run * next_X, Y, lam[run], q, h);
    }
}

/* Codes are exp(U), U (runs, n, N). D (runs, N, M), offset (runs, M); gD and go are NULL where only codes
 * are sought. */
void sparse_coding(int runs, int n, int M, int N, const float *X, long next_X, const float *lam,
                   const float *U, const float *D, const float *offset, float *gU, float *gD, float *go) {
    int Mp = (M + 15) / 16 * 16;
    float *x = room(PART * Mp), *Z = room(PART * N), *R = room(PART * Mp), *Dt = room(Mp * N);
    float *atoms = room(N * Mp), *sums = room(N * Mp + Mp), scale = 2.0f / (n * M);
    for (int run = 0; run < runs; run++, X += next_X, D += N * M, offset += M) {
        float *columns = sums + N * Mp, slope = lam[run] / ((float)n * N);
        memset(sums, 0, (N * Mp + Mp) * sizeof(float));
        pad(N, M, Mp, D, atoms), transpose(N, Mp, atoms, Dt);
        for (int at = 0; at < n; at += PART, U += PART * N, gU += PART * N) {
            pad(PART, M, Mp, X + at * M, x);
            for (int i = 0; i < PART * N; i++) Z[i] = expf(U[i]);
            product(PART, N, Mp, Z, atoms, R);
            for (int i = 0; i < PART; i++)
                for (int j = 0; j < M; j++) R[i * Mp + j] = scale * (R[i * Mp + j] + offset[j] - x[i * Mp + j]);
            product(PART, Mp, N, R, Dt, gU);
            for (int i = 0; i < PART * N; i++) gU[i] = (gU[i] + slope) * Z[i];
            if (gD) add_transposed(N, PART, Mp, Z, R, sums), add_columns(PART, Mp, R, columns);
        }
        if (!gD) continue;
        memset(gD, 0, N * M * sizeof(float));
        add_unpadded(N, M, Mp, sums, gD), memcpy(go, columns, M * sizeof(float));
        gD += N * M, go += M;
    }
    free(x), free(Z), free(R), free(Dt), free(atoms), free(sums);
}
