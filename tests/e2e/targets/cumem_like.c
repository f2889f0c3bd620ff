// SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause)
/* A module with the declarations of vLLM's cumem_allocator: my_malloc and my_free for PyTorch, which tell Python of what they do, and init_module to say
 * whom. For where the real one cannot be had; written for the tests, and over the same thirteen functions of the driver (standin_cuda.c). */
#define Py_LIMITED_API 0x03080000
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdlib.h>
#include <sys/types.h>

struct location {
	int type, id;
};
struct prop {
	int type, handle_types;
	struct location location;
	void *windows;
	unsigned char flags[8];
};
struct access {
	struct location location;
	int flags;
};

int cuCtxGetCurrent(void **context);
int cuCtxSetCurrent(void *context);
int cuDevicePrimaryCtxRetain(void **context, int device);
int cuDeviceGetAttribute(int *value, int attribute, int device);
int cuGetErrorString(int error, const char **text);
int cuMemGetAllocationGranularity(size_t *granularity, const struct prop *prop, int option);
int cuMemAddressReserve(unsigned long *ptr, size_t size, size_t alignment, unsigned long addr, unsigned long long flags);
int cuMemAddressFree(unsigned long ptr, size_t size);
int cuMemCreate(unsigned long long *handle, size_t size, const struct prop *prop, unsigned long long flags);
int cuMemRelease(unsigned long long handle);
int cuMemMap(unsigned long ptr, size_t size, size_t offset, unsigned long long handle, unsigned long long flags);
int cuMemUnmap(unsigned long ptr, size_t size);
int cuMemSetAccess(unsigned long ptr, size_t size, const struct access *access, size_t count);

static PyObject *told_of_malloc, *asked_for_free;

static int good(int error)
{
	const char *text = "unknown error";

	if (!error)
		return 1;
	cuGetErrorString(error, &text);
	fprintf(stderr, "cumem_like: the driver says: %s\n", text);
	return 0;
}

static int have_context(int device)
{
	void *context = NULL;
	int unified = 0;

	return good(cuCtxGetCurrent(&context)) &&
	       (context || (good(cuDeviceGetAttribute(&unified, 102, device)) && good(cuDevicePrimaryCtxRetain(&context, device)) &&
			    good(cuCtxSetCurrent(context))));
}

/* Tells Python (device, size, address, place of the handle). */
static int tell(int device, size_t size, unsigned long at, unsigned long long *handle)
{
	PyGILState_STATE state = PyGILState_Ensure();
	PyObject *answer = PyObject_CallFunction(told_of_malloc, "((iKKK))", device, (unsigned long long)size, (unsigned long long)at,
						 (unsigned long long)(uintptr_t)handle);

	if (!answer)
		PyErr_Print();
	Py_XDECREF(answer);
	PyGILState_Release(state);
	return answer != NULL;
}

void *my_malloc(ssize_t size, int device, void *stream)
{
	struct prop prop = { .type = 1, .location = { 1, device } };
	struct access access = { .location = { 1, device }, .flags = 3 };
	unsigned long long *handle = malloc(sizeof(*handle));
	unsigned long at = 0;
	size_t granule = 1, whole;

	(void)stream;
	if (!handle || !told_of_malloc || !have_context(device) || !good(cuMemGetAllocationGranularity(&granule, &prop, 0)))
		return NULL;
	whole = ((size_t)size + granule - 1) / granule * granule;
	if (!good(cuMemAddressReserve(&at, whole, 0, 0, 0)) || !tell(device, whole, at, handle) || !good(cuMemCreate(handle, whole, &prop, 0)) ||
	    !good(cuMemMap(at, whole, 0, *handle, 0)) || !good(cuMemSetAccess(at, whole, &access, 1)))
		return NULL;
	return (void *)at;
}

void my_free(void *ptr, ssize_t size, int device, void *stream)
{
	unsigned long long known_device, known_size, at = 0, handle = 0;
	PyGILState_STATE state = PyGILState_Ensure();
	PyObject *answer = PyObject_CallFunction(asked_for_free, "K", (unsigned long long)(uintptr_t)ptr);
	int ok = answer && PyArg_ParseTuple(answer, "KKKK", &known_device, &known_size, &at, &handle);

	(void)stream;
	if (!ok)
		PyErr_Print();
	Py_XDECREF(answer);
	PyGILState_Release(state);
	if (!ok || !have_context(device))
		return;
	if (good(cuMemUnmap(at, (size_t)size)) && good(cuMemRelease(*(unsigned long long *)(uintptr_t)handle)) && good(cuMemAddressFree(at, (size_t)size)))
		free((void *)(uintptr_t)handle);
}

static PyObject *init_module(PyObject *self, PyObject *args)
{
	(void)self;
	if (!PyArg_ParseTuple(args, "OO", &told_of_malloc, &asked_for_free))
		return NULL;
	Py_INCREF(told_of_malloc);
	Py_INCREF(asked_for_free);
	Py_RETURN_NONE;
}

static PyMethodDef methods[] = {
	{ "init_module", init_module, METH_VARARGS, "Whom my_malloc and my_free tell." },
	{ NULL, NULL, 0, NULL },
};

static struct PyModuleDef module = { PyModuleDef_HEAD_INIT, "cumem_allocator", NULL, -1, methods, NULL, NULL, NULL, NULL };

PyMODINIT_FUNC PyInit_cumem_allocator(void)
{
	return PyModule_Create(&module);
}
