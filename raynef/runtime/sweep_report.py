from raynef.runtime.sweep_folder import is_sweep as is_sweep


def write_sweep_report(path):
    return {}
