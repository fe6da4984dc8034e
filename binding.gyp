{
  # node-gyp and prebuildify drive the CMake build; CMakeLists.txt describes it.
  "targets": [
    {
      "target_name": "quanto",
      "type": "none",
      "actions": [
        {
          "action_name": "cmake",
          "inputs": ["CMakeLists.txt"],
          "outputs": ["<(PRODUCT_DIR)/quanto.node"],
          "action": ["node", "scripts/build-native.mjs"]
        }
      ]
    }
  ]
}
